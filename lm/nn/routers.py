"""Which expert a token goes to: routers over groups of tokens, with a place at the expert.

Beside the letters of `lm.nn.branch`: G groups, S tokens of a group, E experts, C places that an
expert has for a group, K experts that a token goes to. The tokens of a group compete for places;
groups know nothing of each other. Where the weight of a token depends on others:

    router          without capacity   with a capacity, whether it finds a place depends on
    SwitchRouter    never              the tokens before it: causal, but packed examples meet
    NoisyTopKRouter never              with k > 1 the first choices of later tokens: not causal
    TopTwoRouter    never              the first choices of later tokens: not causal
    ExpertChoice    always, on all tokens of the group: for bidirectional encoders alone

Every router computes in float32 whatever the compute type, softmax and counts included.
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.initializers import initializer
from lm.nn.random import uniform
from lm.nn.reports import report
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt


class Routing(NamedTuple):
    """Where the tokens of each group go.

    Attributes:
        place: int32 [G, S, K], expert · C + place at the expert; E · C where there is none.
        gate: float32 [G, S, K], the factor of that expert's output.
        load: float32 [E], how many tokens wanted each expert.
    """

    place: Any
    gate: Any
    load: Any


@part
class SwitchRouter(keras.layers.Layer):
    """Top-1: `p = softmax(x W), e = argmax p`, and the gate is p_e, not renormalised to 1.

    Minimises `balance_loss · E Σ_e f_e P_e + z_loss · mean (log Σ exp(x W))²`, with f_e the share
    of a group's tokens that want e and P_e the mean of p_e; padding counts in neither.

    Args:
        num_experts: E.
        jitter: half width ε of the factors U(1 - ε, 1 + ε) on x in training (1e-2).
        balance_loss: factor of the first loss (1e-2); it is 1 where routing is uniform.
        z_loss: factor of the second (ST-MoE: 1e-3).
        kernel_initializer: name or factory for the initial values of W [D, E].

    Source: Fedus et al. 2021 (https://arxiv.org/abs/2101.03961), sections 2.2 and 2.4.
    """

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

    def call(self, x: Any, real: Any, capacity: int) -> Routing:
        """Returns where x [G, S, D] goes; `real` is bool [G, S], False on padding."""
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        probabilities = softmax(logits, real, self.z_loss)  # [G, S, E]
        gate, expert = largest(probabilities, 1)
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        return seated(expert, gate, real[..., None], self.num_experts, capacity)


@part
class TopTwoRouter(keras.layers.Layer):
    """Top-2: `g = softmax(x W)`, the two largest gates, divided by their sum.

    First choices take their places before all second ones. In training a second choice is kept
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

    def call(self, x: Any, real: Any, capacity: int, training: Any = None) -> Routing:
        """Returns where x [G, S, D] goes; `real` is bool [G, S], False on padding."""
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        probabilities = softmax(logits, real, self.z_loss)
        gate, expert = largest(probabilities, 2)  # [G, S, 2]
        report_balance(probabilities, expert[..., 0], real, self.balance_loss)
        gate = gate / (ops.sum(gate, axis=-1, keepdims=True) + 1e-9)
        wanted = ops.repeat(real[..., None], 2, axis=-1)
        if training and self.second_threshold > 0:
            draw = uniform(ops.shape(gate), self.seed)
            kept = draw * self.second_threshold < gate
            wanted = ops.logical_and(wanted, ops.logical_or(kept, ops.arange(2) == 0))
        return seated(expert, gate, wanted, self.num_experts, capacity)


@part
class ExpertChoiceRouter(keras.layers.Layer):
    """Experts choose: each takes the C tokens of a group with the largest `softmax(x W)_e`.

    The gate is that probability. All experts are full, none is balanced by a loss, and a token may
    go to several experts or to none. Since a token's place depends on all tokens of its group,
    later ones and those of other packed examples among them, it serves bidirectional encoders of
    one example per row.

    Args:
        num_experts: E.
        jitter, z_loss, kernel_initializer: as in `SwitchRouter`.

    Source: Zhou et al. 2022 (https://arxiv.org/abs/2202.09368), section 3.2.
    """

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

    def call(self, x: Any, real: Any, capacity: int) -> Routing:
        """Returns where x [G, S, D] goes; `real` is bool [G, S], False on padding."""
        logits = self.scores(self.jitter(ops.cast(x, "float32")))
        probabilities = softmax(logits, real, self.z_loss)
        probabilities = probabilities * ops.cast(real[..., None], "float32")  # [G, S, E]
        # The rank of every token at every expert: the inverse of the order by probability.
        order = ops.argsort(-ops.stop_gradient(probabilities), axis=1)
        rank = ops.cast(ops.argsort(order, axis=1), "int32")
        kept = ops.logical_and(rank < capacity, real[..., None])
        place = ops.arange(self.num_experts, dtype="int32") * capacity + rank
        place = ops.where(kept, place, self.num_experts * capacity)
        load = ops.sum(ops.cast(kept, "float32"), axis=(0, 1))
        return Routing(place, probabilities, load)


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


def seated(expert: Any, gate: Any, wanted: Any, num_experts: int, capacity: int) -> Routing:
    """Gives every choice the next free place at its expert: all first choices, then all second.

    Where an expert has as many places as the group has tokens, each token has its own, and no
    token's place depends on another token.

    Args:
        expert: int32 [G, S, K], experts of a token, none twice.
        gate: float32 [G, S, K].
        wanted: bool [G, S, K], False where a choice takes no place.
        num_experts: E.
        capacity: C.
    """
    tokens, choices = expert.shape[1:]
    wants = ops.one_hot(expert, num_experts, dtype="int32")
    wants = wants * ops.cast(wanted, "int32")[..., None]  # [G, S, K, E]
    if capacity >= tokens:
        place = ops.arange(tokens, dtype="int32")[:, None]
    else:
        queue = ops.reshape(ops.transpose(wants, (0, 2, 1, 3)), (-1, choices * tokens, num_experts))
        before = ops.sum((ops.cumsum(queue, axis=1) - queue) * queue, axis=-1)
        place = ops.transpose(ops.reshape(before, (-1, choices, tokens)), (0, 2, 1))
    kept = ops.logical_and(wanted, place < capacity)
    place = ops.where(kept, ops.cast(expert, "int32") * capacity + place, num_experts * capacity)
    return Routing(place, gate, ops.sum(ops.cast(wants, "float32"), axis=(0, 1, 2)))


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


def report_load(load: Any, real: Any, place: Any, nowhere: int) -> None:
    """Reports how evenly the experts are wanted, and which tokens none of them computes.

    The entropy is that of the load's shares over log E: 1 where they are equal.

    Args:
        load: float32 [E], tokens that wanted each expert.
        real: bool [G, S].
        place: int32 [G, S, K].
        nowhere: the place of a choice that found none.
    """
    experts = load.shape[0]
    share = ops.divide_no_nan(load, ops.sum(load))
    entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-30)))
    report("expert_load_entropy", entropy / max(math.log(experts), 1e-30), 1.0)
    report("expert_load_max_over_mean", experts * ops.max(share), 1.0)
    report("expert_dead", ops.sum(ops.cast(load == 0, "float32")), 1.0)
    lost = ops.logical_and(real, ops.all(place == nowhere, axis=-1))
    counts = (ops.sum(ops.cast(x, "float32")) for x in (lost, real))
    report("expert_dropped_tokens", *counts)
