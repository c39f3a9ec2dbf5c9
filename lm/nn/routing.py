"""Parts of routers: competition, choices, logits and balance losses.

Letters as in `lm.nn.routers`.
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.initializers import Initializer, initializer
from lm.nn.random import uniform
from lm.nn.reports import report
from lm.types import Layer, Shape, Tensor, Training


class Competition(NamedTuple):
    """Which tokens compete with each other, and for how many slots.

    Attributes:
        segments: int32 [G, S], tokens of a group with the same number compete; 0 is padding.
        slots: int32 [S + 1], the slots that an expert has for n tokens that compete.
    """

    segments: Tensor
    slots: Tensor

    @property
    def real(self) -> Tensor:
        """Bool [G, S], False on padding."""
        return self.segments > 0


class Choices(NamedTuple):
    """The experts chosen for each token.

    Attributes:
        expert: int32 [G, S, K], different for each token.
        gate: float32 [G, S, K], the factor on that expert's output.
        requested: bool [G, S, K], False if a choice takes no slot, as on padding.
    """

    expert: Tensor
    gate: Tensor
    requested: Tensor


class Jitter(keras.layers.Layer):
    """`x · U(1 - width, 1 + width)` in training.

    Args:
        width: half width of the factors; 0 draws nothing.

    Source: Fedus et al. 2021 (https://arxiv.org/abs/2101.03961), section 2.4.
    """

    def __init__(self, *, width: float, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        if not 0 <= width < 1:
            raise LayerError(f"the jitter of a router must lie in [0, 1), got {width}")
        self.width = width

    def build(self, x_shape: Shape) -> None:
        del x_shape
        if self.width:
            self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Tensor, training: Training = None) -> Tensor:
        if not training or not self.width:
            return x
        factor = 1 + self.width * (2 * uniform(ops.shape(x), self.seed) - 1)
        return x * ops.cast(factor, x.dtype)


def check_num_experts(num_experts: int, at_least: int = 1) -> int:
    """Returns the number of experts, or refuses it."""
    if num_experts < at_least:
        raise LayerError(
            f"num_experts of a router must be at least {at_least}, got {num_experts}: "
            "change NUM_EXPERTS"
        )
    return num_experts


def make_router_logits(name: str, num_experts: int, kernel_initializer: Any) -> Layer:
    """Returns the layer `x W`, [G, S, D] → [G, S, E], in float32 whatever the policy."""
    return keras.layers.Dense(
        num_experts,
        use_bias=False,
        kernel_initializer=kernel_initializer,
        dtype="float32",
        name=name,
    )


class SoftmaxGate(NamedTuple):
    """`softmax(jitter(x) W)` in float32, which reports its z-loss.

    Attributes:
        jitter: layer of the noise on x.
        router_logits: layer of W.
        z_loss: factor of the loss.
    """

    jitter: Layer
    router_logits: Layer
    z_loss: float

    def probabilities(self, x: Tensor, real: Tensor) -> Tensor:
        """Returns those of the experts, [G, S, D] → [G, S, E]; real is False on padding."""
        logits = self.router_logits(self.jitter(ops.cast(x, "float32")))
        return router_probabilities(logits, real, self.z_loss)


def softmax_gate(
    num_experts: int, *, jitter: float, z_loss: float, kernel_initializer: Initializer
) -> SoftmaxGate:
    """Returns a gate; Keras tracks its layers when it is assigned to an attribute."""
    logits = make_router_logits("scores", num_experts, initializer(kernel_initializer))
    return SoftmaxGate(Jitter(width=jitter, name="jitter"), logits, z_loss)


def router_probabilities(logits: Tensor, real: Tensor, z_loss: float) -> Tensor:
    """Returns the softmax over experts, and reports the mean of `(log Σ exp(logits))²`.

    Source: Zoph et al. 2022 (https://arxiv.org/abs/2202.08906), equation 5.
    """
    weight = ops.cast(real, "float32")
    log_z = ops.logsumexp(logits, axis=-1, keepdims=True)
    squares = ops.square(log_z[..., 0])
    report("router_z_loss", ops.sum(squares * weight), ops.sum(weight), loss=z_loss)
    return ops.exp(logits - log_z)


def largest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns the largest entries of [G, S, E] and their indices, [G, S, count] each.

    The entries are selected by one-hots, whose gradient is a product; that of `top_k` is a scatter.
    """
    _, index = ops.top_k(ops.stop_gradient(x), count)
    one_hot = ops.one_hot(index, x.shape[-1], dtype=x.dtype)  # [G, S, count, E]
    return ops.sum(x[..., None, :] * one_hot, axis=-1), ops.cast(index, "int32")


def ranks(x: Tensor, segments: Tensor) -> Tensor:
    """Returns the rank of every entry among those of its segment, the largest first.

    >>> x = ops.array([[0.1, 0.3, 0.2, 0.4]])[..., None]
    >>> print(np.asarray(ranks(x, ops.array([[1, 1, 2, 2]])))[..., 0])
    [[1 0 1 0]]

    Args:
        x: [G, S, E].
        segments: int32 [G, S].
    """
    # Rank in the group, then rank by (segment, rank in the group), whose keys are unique; minus the
    # number of tokens in earlier segments, that is the rank in the segment.
    order = ops.argsort(ops.argsort(-x, axis=1), axis=1)
    key = segments[..., None] * x.shape[1] + ops.cast(order, "int32")
    order = ops.cast(ops.argsort(ops.argsort(key, axis=1), axis=1), "int32")
    before = segments[:, None, :] < segments[:, :, None]  # [G, S, S]
    return order - ops.sum(ops.cast(before, "int32"), axis=-1)[..., None]


def segment_sizes(segments: Tensor) -> Tensor:
    """Returns the number of tokens in the segment of each token, int32 [G, S]."""
    same = ops.equal(segments[:, None, :], segments[:, :, None])
    return ops.sum(ops.cast(same, "int32"), axis=-1)


def report_balance(probabilities: Tensor, first: Tensor, real: Tensor, loss: float) -> None:
    """Reports `E Σ_e f_e P_e` of each group, weighted by its tokens: 1 where routing is uniform.

    The gradient flows through P alone: f is a count.
    """
    experts = probabilities.shape[-1]
    weight = ops.cast(real, "float32")[..., None]  # [G, S, 1]
    tokens = ops.sum(weight, axis=1)  # [G, 1]
    requests = ops.sum(ops.one_hot(first, experts, dtype="float32") * weight, axis=1)  # [G, E]
    mass = ops.sum(probabilities * weight, axis=1)  # [G, E]
    products = ops.sum(requests * mass, axis=-1, keepdims=True)  # [G, 1]
    total = experts * ops.sum(ops.divide_no_nan(products, tokens))
    report("router_balance_loss", total, ops.sum(tokens), loss=loss)


def report_load(choices: Choices, real: Tensor, dropped: Tensor, num_experts: int) -> None:
    """Reports how evenly the experts are requested, and how many tokens are dropped.

    The entropy of the experts' fractions of the load is divided by log E: 1 for an even load.

    Args:
        choices: of the router.
        real: bool [G, S], False on padding.
        dropped: bool [G, S, K], True where a choice has no slot.
        num_experts: E.
    """
    one_hot = ops.one_hot(choices.expert, num_experts, dtype="float32")
    requests = one_hot * ops.cast(choices.requested, "float32")[..., None]
    load = ops.sum(requests, axis=(0, 1, 2))  # [E]
    share = ops.divide_no_nan(load, ops.sum(load))
    entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-30)))
    report("expert_load_entropy", entropy / max(math.log(num_experts), 1e-30), 1.0)
    report("expert_load_max_over_mean", num_experts * ops.max(share), 1.0)
    report("expert_dead", ops.sum(ops.cast(load == 0, "float32")), 1.0)
    lost = ops.logical_and(real, ops.all(dropped, axis=-1))
    counts = (ops.sum(ops.cast(x, "float32")) for x in (lost, real))
    report("expert_dropped_tokens", *counts)
