"""AdamW: Keras' rule, with clipping, averaging and weight decay by path."""

from collections.abc import Callable
from typing import Any

import keras

from lm.optim.averages import Average
from lm.optim.optimizer import UNDECAYED, LayerRates, Optimizer
from lm.parts import part
from lm.ranges import NonNegativeFloat, UnitFloat


@part
def adamw(  # noqa: PLR0913 - the settings of an update rule, keyword-only
    *,
    learning_rate: Any,
    beta_1: UnitFloat = 0.9,
    beta_2: UnitFloat = 0.999,
    epsilon: NonNegativeFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
    clip_norm: NonNegativeFloat | None = None,
    average: Average | None = None,
    undecayed: str = UNDECAYED,
    frozen: str | None = None,
    layer_rates: Callable[[], LayerRates] | None = None,
) -> Optimizer:
    """Returns AdamW: w <- w - lr * (m / (sqrt(v) + epsilon) + weight_decay * w).

    Args:
        learning_rate: a schedule or a number.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients; 0.95 for GPT-like training.
        epsilon: added to the root; 1e-6 in BERT.
        weight_decay: per update and unit of learning rate; 0 is Adam.
        clip_norm: largest global norm of the gradient; None does not clip.
        average: decay of the moving average of the weights, or one of `averages`; None keeps none.
        undecayed: regular expression of the paths without weight decay.
        frozen: regular expression of the paths of weights that keep their values; None trains all.
        layer_rates: factory of rates that differ by layer, `layer_rates.ByDepth`.

    Source: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2.
    Departures: the bias correction is folded into the rate, as in Keras, so that epsilon is
    compared with the uncorrected root.
    """
    rule = keras.optimizers.AdamW(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        weight_decay=weight_decay,
        name="adamw",
    )
    return Optimizer(
        rule=rule,
        clip_norm=clip_norm,
        average=average,
        undecayed=undecayed,
        frozen=frozen,
        layer_rates=layer_rates,
    )
