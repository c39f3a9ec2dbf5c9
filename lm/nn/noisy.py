"""Noisy top-k gating of experts, flat and in two levels, balanced by importance and load.

Letters as in `lm.nn.routers`; in two levels I groups of J experts each, E = I · J.
"""

import math
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.random import normal
from lm.nn.reports import report
from lm.nn.routers import Choices, Competition, counted, largest, scores
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt


class Scores(NamedTuple):
    """What is compared between experts, float32 [..., E] each.

    Attributes:
        clean: x W_g.
        noisy: the same with noise; what the top k are taken from.
        deviation: of the noise, or None where there is none.
    """

    clean: Any
    noisy: Any
    deviation: Any


@part
class NoisyTopKRouter(keras.layers.Layer):
    """`G(x) = softmax(top-k(x W_g + ε · (softplus(x W_noise) + 1e-2)))`, ε ~ N(0, 1) in training.

    Minimises `importance_loss · CV(Σ_x G(x))² + load_loss · CV(Σ_x P(x, ·))²`, where P(x, e) is the
    probability that e stays among the k largest if its own noise is drawn anew:

        P(x, e) = Φ(((x W_g)_e - t_e) / deviation_e),  t_e the k-th largest of the others

    and CV² the population variance over the squared mean, of sums over the tokens of the batch.
    Where there is no noise the load is the count of tokens, without gradient.

    Args:
        num_experts: E.
        k: experts of a token (paper: 4; 2 per level).
        importance_loss, load_loss: factors of the two losses (language model: 0.1 each).

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), sections 2.1 and 4, appendix A;
    1e-2 and silence in evaluation: the release in Tensor2Tensor. Both matrices start at zero.
    Departures: a widely used port takes probabilities as thresholds and the sample variance; ours
    are the paper's. In training a mixture may have a capacity; the paper has none.
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
        self.num_experts = counted(num_experts)
        self.k = chosen("NoisyTopKRouter.k", k, num_experts)
        self.scores = NoisyScores(units=num_experts, name="gating")
        self.factors = importance_loss, load_loss

    def build(self, x_shape: Any) -> None:
        """Leaves it to the parts."""
        del x_shape

    def call(self, x: Any, competition: Competition) -> Choices:
        """Returns what x [G, S, D] requests."""
        found = self.scores(ops.cast(x, "float32"))
        gates = sparse_softmax(found.noisy, self.k)
        weight = ops.cast(competition.real, "float32")[..., None]
        importance = ops.sum(gates * weight, axis=(0, 1))
        load = ops.sum(stays(found, gates, self.k) * weight, axis=(0, 1))
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
        self.shape = counted(num_groups), counted(experts_per_group)
        self.num_experts = num_groups * experts_per_group
        self.k = chosen("HierarchicalRouter.k", k, min(self.shape))
        self.primary = NoisyScores(units=num_groups, name="primary")
        self.secondary = NoisyScores(units=self.num_experts, name="secondary")
        self.factors = importance_loss, load_loss

    def build(self, x_shape: Any) -> None:
        """Leaves it to the parts."""
        del x_shape

    def call(self, x: Any, competition: Competition) -> Choices:
        """Returns what x [G, S, D] requests."""
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


class NoisyScores(keras.layers.Layer):
    """`x W_g` and, in training, `x W_g + ε · (softplus(x W_noise) + 1e-2)`, both W zero at first.

    Args:
        units: E.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 4.
    """

    logical_axes: ClassVar = {"(scores|noise)/kernel": ("embed", "unmodeled")}

    def __init__(self, *, units: int, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.scores = scores("scores", units, "zeros")
        self.noise = scores("noise", units, "zeros")

    def build(self, x_shape: Any) -> None:
        self.scores.build(x_shape)
        self.noise.build(x_shape)
        self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Any, training: Any = None) -> Scores:
        clean = self.scores(x)
        if not training:
            return Scores(clean, clean, ())
        deviation = ops.softplus(self.noise(x)) + 1e-2
        noise = normal(ops.shape(clean), self.seed)
        return Scores(clean, clean + noise * deviation, deviation)


def by_group(found: Scores, shape: tuple[int, int]) -> Scores:
    """Splits the last axis, [..., I · J] → [..., I, J]."""
    return keras.tree.map_structure(lambda x: ops.reshape(x, (*x.shape[:-1], *shape)), found)


def sparse_softmax(x: Any, k: int) -> Any:
    """Returns the softmax over the k largest of the last axis, 0 elsewhere."""
    _, which = ops.top_k(ops.stop_gradient(x), k)
    kept = ops.sum(ops.one_hot(which, x.shape[-1], dtype="float32"), axis=-2)
    return ops.softmax(ops.where(kept > 0, x, -1e30)) * kept


def stays(found: Scores, gates: Any, k: int) -> Any:
    """Returns P(x, e), or where there is no noise whether e is among the k largest, [..., E]."""
    count = found.clean.shape[-1]
    if isinstance(found.deviation, tuple) or k == count:
        return ops.cast(gates > 0, "float32")
    values, _ = ops.top_k(found.noisy, k + 1)
    inside = found.noisy > values[..., k:]
    threshold = ops.where(inside, values[..., k:], values[..., k - 1 : k])
    z = (found.clean - threshold) / found.deviation
    return (1 + ops.erf(z / math.sqrt(2))) / 2


def squared_variation(x: Any) -> Any:
    """Returns the population variance over the squared mean.

    >>> float(squared_variation(ops.array([0.0, 0.0, 0.0, 5.0])))
    3.0
    """
    return ops.divide_no_nan(ops.var(x), ops.square(ops.mean(x)))


def report_balance(importance: Any, load: Any, losses: tuple[float, float]) -> None:
    """Reports the two losses."""
    report("router_importance_loss", squared_variation(importance), 1.0, loss=losses[0])
    report("router_load_loss", squared_variation(load), 1.0, loss=losses[1])


def chosen_by(gates: Any, count: int, real: Any) -> Choices:
    """Returns the `count` experts whose gates are not zero."""
    gate, expert = largest(gates, count)
    return Choices(expert, gate, ops.repeat(real[..., None], count, axis=-1))


def chosen(parameter: str, k: int, most: int) -> int:
    """Returns the number of choices, or refuses it."""
    if not 1 <= k <= most:
        raise LayerError(f"noisy.{parameter} must lie in 1 … {most}, the experts, got {k}")
    return k
