"""Noisy top-k gating of experts, flat and in two levels, balanced by importance and load.

Letters as in `lm.nn.routers`; in two levels I groups of J experts each, E = I · J.
"""

import math
from typing import ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.random import normal
from lm.nn.reports import report
from lm.nn.routing import (
    Choices,
    Competition,
    check_num_experts,
    largest,
    make_router_logits,
)
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt
from lm.types import Shape, Tensor, Training


class NoisyLogits(NamedTuple):
    """The logits for choosing experts, float32 [..., E] each.

    Attributes:
        clean: x W_g.
        noisy: the same with noise; the top k are taken from these.
        deviation: standard deviation of the noise, or () without noise.
    """

    clean: Tensor
    noisy: Tensor
    deviation: Tensor


@part
class NoisyTopKRouter(keras.layers.Layer):
    """`G(x) = softmax(top-k(x W_g + ε · (softplus(x W_noise) + 1e-2)))`, ε ~ N(0, 1) in training.

    Minimises `importance_loss · CV(Σ_x G(x))² + load_loss · CV(Σ_x P(x, ·))²`, where P(x, e) is the
    probability that e stays among the k largest if its own noise is drawn anew:

        P(x, e) = Φ(((x W_g)_e - t_e) / deviation_e),  t_e the k-th largest of the others

    and CV² the population variance over the squared mean, of sums over the tokens of the batch.
    Without noise the load is the count of tokens, without gradient.

    Args:
        num_experts: E.
        k: experts of a token (paper: 4; 2 per level).
        importance_loss, load_loss: factors of the two losses (language model: 0.1 each).

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), sections 2.1 and 4, appendix A;
    1e-2 and no noise in evaluation: the release in Tensor2Tensor. Both matrices start at zero.
    Departures: a capacity is possible in training; the paper has none. (A widely used port compares
    probabilities with thresholds and uses the sample variance; here both are as in the paper.)
    """

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        k: PositiveInt,
        importance_loss: NonNegativeFloat = 0.1,
        load_loss: NonNegativeFloat = 0.1,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = check_num_experts(num_experts)
        self.k = check_choices("NoisyTopKRouter.k", k, num_experts)
        self.router_logits = NoisyGating(units=num_experts, name="gating")
        self.factors = importance_loss, load_loss

    def build(self, x_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del x_shape

    def call(self, x: Tensor, competition: Competition) -> Choices:
        """Returns the experts that x [G, S, D] requests."""
        logits = self.router_logits(ops.cast(x, "float32"))
        gates = sparse_softmax(logits.noisy, self.k)  # [G, S, E]
        weight = ops.cast(competition.real, "float32")[..., None]
        importance = ops.sum(gates * weight, axis=(0, 1))  # [E]
        load = ops.sum(stays(logits, gates, self.k) * weight, axis=(0, 1))  # [E]
        report_balance(importance, load, self.factors)
        return chosen_by(gates, self.k, competition.real)


@part
class HierarchicalRouter(keras.layers.Layer):
    """Two levels of noisy top-k: `G(x)_ij = Gprimary(x)_i · G_i(x)_j` over groups i of experts j.

    Minimises the two losses of `NoisyTopKRouter` with

        Importance_ij = Σ_x Gprimary(x)_i · G_i(x)_j
        Load_ij = Load_primary_i · Load_i(X_i)_j / |X_i|,  X_i the tokens with Gprimary(x)_i > 0.

    Args:
        num_groups: I (paper: 16).
        experts_per_group: J.
        k: choices at each level (paper: 2), so that a token has k² experts.
        importance_loss, load_loss: factors of the two losses.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), appendix B.
    Departures: the second level is scored for all groups at once, not for the chosen alone.
    """

    def __init__(
        self,
        *,
        num_groups: PositiveInt,
        experts_per_group: PositiveInt,
        k: PositiveInt,
        importance_loss: NonNegativeFloat = 0.1,
        load_loss: NonNegativeFloat = 0.1,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.shape = check_num_experts(num_groups), check_num_experts(experts_per_group)
        self.num_experts = num_groups * experts_per_group
        self.k = check_choices("HierarchicalRouter.k", k, min(self.shape))
        self.primary = NoisyGating(units=num_groups, name="primary")
        self.secondary = NoisyGating(units=self.num_experts, name="secondary")
        self.factors = importance_loss, load_loss

    def build(self, x_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del x_shape

    def call(self, x: Tensor, competition: Competition) -> Choices:
        """Returns the experts that x [G, S, D] requests."""
        x = ops.cast(x, "float32")
        groups, experts = self.primary(x), by_group(self.secondary(x), self.shape)
        weight = ops.cast(competition.real, "float32")[..., None]
        first = sparse_softmax(groups.noisy, self.k) * weight  # [G, S, I]
        second = sparse_softmax(experts.noisy, self.k)  # [G, S, I, J]
        inside = ops.cast(first > 0, "float32")
        share = ops.sum(stays(experts, second, self.k) * inside[..., None], axis=(0, 1))  # [I, J]
        share = ops.divide_no_nan(share, ops.sum(inside, axis=(0, 1))[:, None])
        load = ops.sum(stays(groups, first, self.k) * weight, axis=(0, 1))[:, None] * share
        gates = ops.reshape(first[..., None] * second, (-1, x.shape[1], self.num_experts))
        report_balance(ops.sum(gates, axis=(0, 1)), ops.reshape(load, (-1,)), self.factors)
        return chosen_by(gates, self.k**2, competition.real)


class NoisyGating(keras.layers.Layer):
    """`x W_g` and, in training, `x W_g + ε · (softplus(x W_noise) + 1e-2)`, both W zero at first.

    Args:
        units: E.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 4.
    """

    logical_axes: ClassVar = {"(scores|noise)/kernel": ("embed", "unmodeled")}

    def __init__(self, *, units: int, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.router_logits = make_router_logits("scores", units, "zeros")
        self.noise = make_router_logits("noise", units, "zeros")

    def build(self, x_shape: Shape) -> None:
        self.router_logits.build(x_shape)
        self.noise.build(x_shape)
        self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Tensor, training: Training = None) -> NoisyLogits:
        clean = self.router_logits(x)
        if not training:
            return NoisyLogits(clean, clean, ())
        deviation = ops.softplus(self.noise(x)) + 1e-2
        noise = normal(ops.shape(clean), self.seed)
        return NoisyLogits(clean, clean + noise * deviation, deviation)


def by_group(logits: NoisyLogits, shape: tuple[int, int]) -> NoisyLogits:
    """Splits the last axis, [..., I · J] → [..., I, J]."""
    return keras.tree.map_structure(lambda x: ops.reshape(x, (*x.shape[:-1], *shape)), logits)


def sparse_softmax(x: Tensor, k: int) -> Tensor:
    """Returns the softmax over the k largest of the last axis, 0 elsewhere."""
    _, index = ops.top_k(ops.stop_gradient(x), k)
    is_top = ops.sum(ops.one_hot(index, x.shape[-1], dtype="float32"), axis=-2)  # 0 or 1
    return ops.softmax(ops.where(is_top > 0, x, -1e30)) * is_top


def stays(logits: NoisyLogits, gates: Tensor, k: int) -> Tensor:
    """Returns P(x, e), or where there is no noise whether e is among the k largest, [..., E]."""
    count = logits.clean.shape[-1]
    if isinstance(logits.deviation, tuple) or k == count:
        return ops.cast(gates > 0, "float32")
    # t_e, the k-th largest of the others: for one of the k largest that is the next after them.
    values, _ = ops.top_k(logits.noisy, k + 1)
    is_top = logits.noisy > values[..., k:]
    threshold = ops.where(is_top, values[..., k:], values[..., k - 1 : k])
    z = (logits.clean - threshold) / logits.deviation
    return (1 + ops.erf(z / math.sqrt(2))) / 2  # Φ(z)


def squared_variation(x: Tensor) -> Tensor:
    """Returns the population variance over the squared mean.

    >>> float(squared_variation(ops.array([0.0, 0.0, 0.0, 5.0])))
    3.0
    """
    return ops.divide_no_nan(ops.var(x), ops.square(ops.mean(x)))


def report_balance(importance: Tensor, load: Tensor, losses: tuple[float, float]) -> None:
    """Reports the two losses."""
    report("router_importance_loss", squared_variation(importance), 1.0, loss=losses[0])
    report("router_load_loss", squared_variation(load), 1.0, loss=losses[1])


def chosen_by(gates: Tensor, count: int, real: Tensor) -> Choices:
    """Returns the `count` experts whose gates are not zero."""
    gate, expert = largest(gates, count)
    return Choices(expert, gate, ops.repeat(real[..., None], count, axis=-1))


def check_choices(parameter: str, k: int, most: int) -> int:
    """Returns the number of choices, or refuses it."""
    if not 1 <= k <= most:
        raise LayerError(f"noisy.{parameter} must lie in 1 … {most}, the experts, got {k}")
    return k
