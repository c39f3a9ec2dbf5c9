"""Which experts a token goes to: routers over groups of tokens.

Beside the letters of `lm.nn.branch`: G groups, S tokens of a group, E experts, K choices of a
token. What becomes of a choice is said in `lm.nn.moe`: evaluation drops none; under a capacity in
training choices compete for slots, groups knowing nothing of each other. Where what a token gets
depends on others:

    router          in evaluation    in training under a capacity
    SwitchRouter    never            on the tokens before it: causal, but packed examples meet
    NoisyTopKRouter never            with k > 1 on the first choices of later tokens: not causal
    TopTwoRouter    never            on the first choices of later tokens: not causal
    ExpertChoice    on its example   on all tokens of the group: for bidirectional encoders alone

Every router computes in float32 whatever the compute type, softmax and counts included.
"""

import math
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.initializers import initializer
from lm.nn.random import uniform
from lm.nn.reports import report
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt


class Competition(NamedTuple):
    """Which tokens compete, and for how much.

    Attributes:
        segments: int32 [G, S], tokens of a group with the same number compete; 0 is padding.
        slots: int32 [S + 1], the slots that an expert has for n tokens that compete.
    """

    segments: Any
    slots: Any

    @property
    def real(self) -> Any:
        """Bool [G, S], False on padding."""
        return self.segments > 0


class Choices(NamedTuple):
    """What the tokens of each group request.

    Attributes:
        expert: int32 [G, S, K], none twice for a token.
        gate: float32 [G, S, K], the factor of that expert's output.
        requested: bool [G, S, K], False where a choice takes no slot, as on padding.
    """

    expert: Any
    gate: Any
    requested: Any


@part
class SwitchRouter(keras.layers.Layer):
    """Top-1: `p = softmax(x W), e = argmax p`, and the gate is p_e, not renormalised to 1.

    Minimises `balance_loss · E Σ_e f_e P_e + z_loss · mean (log Σ exp(x W))²`, with f_e the share
    of a group's tokens that request e and P_e the mean of p_e; padding counts in neither.

    Args:
        num_experts: E.
        jitter: half width ε of the factors U(1 - ε, 1 + ε) on x in training (1e-2).
        balance_loss: factor of the first loss (1e-2); it is 1 where routing is uniform.
        z_loss: factor of the second (ST-MoE: 1e-3).
        kernel_initializer: name or factory for the initial values of W [D, E].

    Source: Fedus et al. 2021 (https://arxiv.org/abs/2101.03961), sections 2.2 and 2.4.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        jitter: NonNegativeFloat = 1e-2,
        balance_loss: NonNegativeFloat = 1e-2,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = counted(num_experts)
        self.jitter = Jitter(width=jitter, name="jitter")
        self.scores = scores("scores", num_experts, initializer(kernel_initializer))
        self.balance_loss = balance_loss
        self.z_loss = z_loss

    def build(self, x_shape: Any) -> None:
        """Leaves it to the parts."""
        del x_shape

    def call(self, x: Any, competition: Competition) -> Choices:
        """Returns what x [G, S, D] requests."""
        real = competition.real
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        probabilities = softmax(logits, real, self.z_loss)  # [G, S, E]
        gate, expert = largest(probabilities, 1)
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        return Choices(expert, gate, real[..., None])


@part
class TopTwoRouter(keras.layers.Layer):
    """Top-2: `g = softmax(x W)`, the two largest gates, divided by their sum.

    First choices take their slots before all second ones. In training a second choice is kept
    with probability `min(1, g_2 / threshold)`, else always. Losses as in `SwitchRouter`, with f_e
    of the first choices.

    Args:
        num_experts: E.
        second_threshold: gate from which a second choice is always kept (0.2); 0 keeps all.
        jitter, balance_loss, z_loss, kernel_initializer: as in `SwitchRouter`.

    Source: Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 2.2 and algorithm 1;
    the threshold and 1e-9 in the sum: Mesh TensorFlow. Zoph et al. 2022
    (https://arxiv.org/abs/2202.08906) for ST-MoE.
    Departures: evaluation draws nothing; Mesh TensorFlow drops second choices there too.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        second_threshold: float = 0.2,
        jitter: NonNegativeFloat = 0.0,
        balance_loss: NonNegativeFloat = 1e-2,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = counted(num_experts, at_least=2)
        self.second_threshold = second_threshold
        self.jitter = Jitter(width=jitter, name="jitter")
        self.scores = scores("scores", num_experts, initializer(kernel_initializer))
        self.balance_loss = balance_loss
        self.z_loss = z_loss

    def build(self, x_shape: Any) -> None:
        del x_shape
        if self.second_threshold > 0:
            self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Any, competition: Competition, training: Any = None) -> Choices:
        """Returns what x [G, S, D] requests."""
        real = competition.real
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        probabilities = softmax(logits, real, self.z_loss)
        gate, expert = largest(probabilities, 2)  # [G, S, 2]
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        gate = gate / (ops.sum(gate, axis=-1, keepdims=True) + 1e-9)
        requested = ops.repeat(real[..., None], 2, axis=-1)
        if training and self.second_threshold > 0:
            draw = uniform(ops.shape(gate), self.seed)
            kept = draw * self.second_threshold < gate
            requested = ops.logical_and(requested, ops.logical_or(kept, ops.arange(2) == 0))
        return Choices(expert, gate, requested)


@part
class ExpertChoiceRouter(keras.layers.Layer):
    """Experts choose: of n tokens each takes the `capacity_factor · n / E` of largest gate.

    The gate is `softmax(x W)_e`; the factor and its rounding are the mixture's. All experts are
    full, none is balanced by a loss, and a token may go to several experts or to none. What a token
    gets depends on all n, later ones among them: it serves bidirectional encoders alone. In
    training the n are the real tokens of a group, as in the paper, so that packed examples compete;
    in evaluation those of one example, which then depends neither on packing nor on padding nor on
    its batch.

    Args:
        num_experts: E.
        jitter, z_loss, kernel_initializer: as in `SwitchRouter`.

    Source: Zhou et al. 2022 (https://arxiv.org/abs/2202.09368), section 3.2.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    looks_ahead = "moe.MixtureOfExperts.router"

    def __init__(
        self,
        *,
        num_experts: PositiveInt,
        jitter: NonNegativeFloat = 0.0,
        z_loss: NonNegativeFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = counted(num_experts)
        self.jitter = Jitter(width=jitter, name="jitter")
        self.scores = scores("scores", num_experts, initializer(kernel_initializer))
        self.z_loss = z_loss

    def build(self, x_shape: Any) -> None:
        """Leaves it to the parts."""
        del x_shape

    def call(self, x: Any, competition: Competition) -> Choices:
        """Returns what x [G, S, D] requests."""
        real = competition.real
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        gate = softmax(logits, real, self.z_loss)  # [G, S, E]
        rank = ranks(ops.stop_gradient(gate), competition.segments)
        slots = ops.take(competition.slots, sizes(competition.segments))  # [G, S]
        requested = ops.logical_and(rank < slots[..., None], real[..., None])
        expert = ops.zeros_like(rank) + ops.arange(self.num_experts, dtype="int32")
        return Choices(expert, gate, requested)


class Jitter(keras.layers.Layer):
    """`x · U(1 - width, 1 + width)` in training.

    Args:
        width: half width of the factors; 0 draws nothing.

    Source: Fedus et al. 2021 (https://arxiv.org/abs/2101.03961), section 2.4.
    """

    def __init__(self, *, width: float, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        if not 0 <= width < 1:
            raise LayerError(f"jitter of a router must lie in [0, 1), got {width}")
        self.width = width

    def build(self, x_shape: Any) -> None:
        del x_shape
        if self.width:
            self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Any, training: Any = None) -> Any:
        if not training or not self.width:
            return x
        drawn = 1 + self.width * (2 * uniform(ops.shape(x), self.seed) - 1)
        return x * ops.cast(drawn, x.dtype)


def counted(num_experts: int, at_least: int = 1) -> int:
    """Returns the number of experts, or refuses it."""
    if num_experts < at_least:
        raise LayerError(
            f"num_experts of a router must be at least {at_least}, got {num_experts}: "
            "change NUM_EXPERTS"
        )
    return num_experts


def scores(name: str, num_experts: int, kernel_initializer: Any) -> Any:
    """Returns the layer [G, S, D] → [G, S, E] that computes in float32 whatever the policy."""
    return keras.layers.Dense(
        num_experts,
        use_bias=False,
        kernel_initializer=kernel_initializer,
        dtype="float32",
        name=name,
    )


def softmax(logits: Any, real: Any, z_loss: float) -> Any:
    """Returns the softmax over experts and reports the mean of `(log Σ exp(logits))²`.

    Source: Zoph et al. 2022 (https://arxiv.org/abs/2202.08906), equation 5.
    """
    weight = ops.cast(real, "float32")
    log_z = ops.logsumexp(logits, axis=-1, keepdims=True)
    squares = ops.square(log_z[..., 0])
    report("router_z_loss", ops.sum(squares * weight), ops.sum(weight), loss=z_loss)
    return ops.exp(logits - log_z)


def largest(x: Any, count: int) -> tuple[Any, Any]:
    """Returns the largest entries of [G, S, E] and which they are, [G, S, count] each.

    The entries are picked by one-hots: their gradient is a product, where that of `top_k` scatters.
    """
    _, which = ops.top_k(ops.stop_gradient(x), count)
    picked = ops.one_hot(which, x.shape[-1], dtype=x.dtype)
    return ops.sum(x[..., None, :] * picked, axis=-1), ops.cast(which, "int32")


def ranks(x: Any, segments: Any) -> Any:
    """Returns the rank of every entry among those of its segment, the largest first.

    >>> x = ops.array([[0.1, 0.3, 0.2, 0.4]])[..., None]
    >>> print(np.asarray(ranks(x, ops.array([[1, 1, 2, 2]])))[..., 0])
    [[1 0 1 0]]

    Args:
        x: [G, S, E].
        segments: int32 [G, S].
    """
    order = ops.argsort(ops.argsort(-x, axis=1), axis=1)
    key = segments[..., None] * x.shape[1] + ops.cast(order, "int32")  # none twice
    order = ops.cast(ops.argsort(ops.argsort(key, axis=1), axis=1), "int32")
    before = segments[:, None, :] < segments[:, :, None]  # [G, S, S]
    return order - ops.sum(ops.cast(before, "int32"), axis=-1)[..., None]


def sizes(segments: Any) -> Any:
    """Returns the number of tokens in the segment of each token, int32 [G, S]."""
    same = ops.equal(segments[:, None, :], segments[:, :, None])
    return ops.sum(ops.cast(same, "int32"), axis=-1)


def report_balance(probabilities: Any, first: Any, real: Any, loss: float) -> None:
    """Reports `E Σ_e f_e P_e` of each group, weighted by its tokens: 1 where routing is uniform.

    The gradient flows through P alone: f is a count.
    """
    experts = probabilities.shape[-1]
    weight = ops.cast(real, "float32")[..., None]  # [G, S, 1]
    tokens = ops.sum(weight, axis=1)  # [G, 1]
    wants = ops.sum(ops.one_hot(first, experts, dtype="float32") * weight, axis=1)  # [G, E]
    together = ops.sum(wants * ops.sum(probabilities * weight, axis=1), axis=-1, keepdims=True)
    total = experts * ops.sum(ops.divide_no_nan(together, tokens))
    report("router_balance_loss", total, ops.sum(tokens), loss=loss)


def report_load(choices: Choices, real: Any, dropped: Any, num_experts: int) -> None:
    """Reports how evenly the experts are requested, and which tokens none of them computes.

    The entropy is that of the load's shares over log E: 1 where they are equal.

    Args:
        choices: of the router.
        real: bool [G, S], False on padding.
        dropped: bool [G, S, K], True where a choice has no slot.
        num_experts: E.
    """
    hot = ops.one_hot(choices.expert, num_experts, dtype="float32")
    hot = hot * ops.cast(choices.requested, "float32")[..., None]
    load = ops.sum(hot, axis=(0, 1, 2))  # [E]
    share = ops.divide_no_nan(load, ops.sum(load))
    entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-30)))
    report("expert_load_entropy", entropy / max(math.log(num_experts), 1e-30), 1.0)
    report("expert_load_max_over_mean", num_experts * ops.max(share), 1.0)
    report("expert_dead", ops.sum(ops.cast(load == 0, "float32")), 1.0)
    lost = ops.logical_and(real, ops.all(dropped, axis=-1))
    counts = (ops.sum(ops.cast(x, "float32")) for x in (lost, real))
    report("expert_dropped_tokens", *counts)
