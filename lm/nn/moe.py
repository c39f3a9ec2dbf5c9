"""Mixture of experts: many feed-forwards, a few of which process each token.

Letters as in `lm.nn.branch`, `lm.nn.routers` and `lm.nn.expert_slots`.
"""

import copy
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.expert_slots import Assigned, from_slots, in_rounds, inverse, queue, to_slots
from lm.nn.routing import Competition, report_load
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor, Training

_BY_EXPERT = ("expert", "expert_replicas", "unmodeled", "unmodeled")  # [E, G, C, D]


@part
class MixtureOfExperts(Branch):
    """`y = Σ_k gate_k(x) · expert_{e_k(x)}(x)` over the experts that a router sends x to.

    In training an expert has `min(n, max(int(capacity_factor · n / E), min_capacity))` slots for
    the n real tokens of a group. A choice without a free slot is dropped and contributes nothing; a
    token whose choices are all dropped keeps only its residual. A group is one or more rows of the
    batch. Packed examples of a group compete for slots, so in training a packed example gets the
    same result as alone only if `capacity_factor` is None. Padding takes no slots and adds none.

    Evaluation, scoring and decoding drop nothing: every example gets the same result as alone,
    independent of packing, padding and batch. They compute about three times the products of the
    chosen experts.

    Reports the share of tokens without a slot, the evenness of the load, the share of experts that
    no token requests, and the losses of the router.

    Args:
        router: factory of a layer of `lm.nn.routers`, which sets the number of experts E.
        expert: factory of a feed-forward with `dense = @moe.ExpertDense`, which holds all E.
        capacity_factor: number of slots relative to an even load (Switch 1.25, top-2 2.0); None
            drops nothing in training either, at E / K times the products.
        min_capacity: minimum number of slots (Mesh TensorFlow 4).
        group_size: maximum number of tokens that compete in training: as many whole rows as divide
            the batch; None is one row.

    Raises:
        LayerError: for a capacity of zero, an unknown router, or more experts than a group has
            tokens to train them.

    State: none.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 1; capacity and groups:
    Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 2.2.
    Departures: in the papers capacity also applies in evaluation, so that a token's output depends
    on the rest of the batch.
    """

    # These take precedence over what the feed-forward declares for its matrices.
    logical_axes: ClassVar = {
        "experts/(gate|hidden)/kernel": ("expert", "embed", "expert_mlp"),
        "experts/(gate|hidden)/bias": ("expert", "expert_mlp"),
        "experts/output/kernel": ("expert", "expert_mlp", "embed"),
        "experts/output/bias": ("expert", "embed"),
    }
    # Fixed, not left to XLA: tokens go to the devices of their experts, all to all.
    output_axes: ClassVar = {
        "to_experts": _BY_EXPERT,
        "from_experts": _BY_EXPERT,
    }

    def __init__(
        self,
        *,
        router: Factory,
        expert: Factory,
        capacity_factor: float | None,
        min_capacity: PositiveInt = 4,
        group_size: PositiveInt | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.router = make(callable_router(router), "router")
        self.experts = make(expert, "experts")
        self.capacity_factor = positive("capacity_factor", capacity_factor)
        self.min_capacity = int(positive("min_capacity", min_capacity) or 1)
        self.group_size = positive("group_size", group_size)
        self.to_experts = ToExperts(num_experts=self.router.num_experts, name="to_experts")
        self.from_experts = keras.layers.Identity(name="from_experts")
        self.to_tokens = ToTokens(name="to_tokens")

    def build(self, x_shape: Shape) -> None:
        """Creates the variables of the experts, which a loop over rounds could not do."""
        self.experts(
            ops.zeros((self.router.num_experts, 1, x_shape[-1])), Context(), training=False
        )

    def call(
        self, x: Tensor, context: Context, state: State = None, training: Training = None
    ) -> tuple[Tensor, State]:
        del state
        tokens = self.group(x) if training else x.shape[1]
        competition = self.competition(x, context.segments, tokens, training)
        grouped = ops.reshape(x, (-1, tokens, x.shape[-1]))  # [G, S, D]
        choices = self.router(grouped, competition)
        if training:
            slots = self.capacity(tokens)
            assigned = queue(choices, competition, self.router.num_experts, slots)
        else:
            assigned = in_rounds(choices, self.router.num_experts)
        dropped = ops.equal(assigned.slot, self.router.num_experts * assigned.slots)
        report_load(choices, competition.real, dropped, self.router.num_experts)
        y = self.mix(ops.cast(grouped, self.compute_dtype), choices.gate, assigned)
        return ops.reshape(y, ops.shape(x)), ()

    def competition(
        self, x: Tensor, segments: Tensor, tokens: int, training: Training
    ) -> Competition:
        """Returns which tokens compete: in training those of a group, else those of an example."""
        if segments is None:
            segments = ops.ones_like(x[..., 0], "int32")
        if training:
            segments = ops.cast(segments > 0, "int32")
        slots = np.array([self.capacity(n) for n in range(tokens + 1)], "int32")
        return Competition(ops.reshape(segments, (-1, tokens)), ops.convert_to_tensor(slots))

    def mix(self, x: Tensor, gate: Tensor, assigned: Assigned) -> Tensor:
        """Returns the sum of the experts' outputs times their gates, [G, S, D]."""
        outputs = self.at_once if assigned.round is None else self.by_rounds
        return ops.sum(outputs(x, gate, assigned), axis=2)

    def by_rounds(self, x: Tensor, gate: Tensor, assigned: Assigned) -> Tensor:
        """Returns what `at_once` returns, computed in rounds."""
        dropped = self.router.num_experts * assigned.slots
        last = ops.max(ops.where(assigned.slot < dropped, assigned.round, -1))

        def is_left(round: Tensor, y: Tensor) -> Tensor:
            del y
            return round <= last

        def next_round(round: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            slot = ops.where(ops.equal(assigned.round, round), assigned.slot, dropped)
            # A choice is computed in one round; all other rounds add 0 to it.
            return round + 1, y + self.at_once(x, gate, assigned._replace(slot=slot))

        zeros = ops.zeros((*ops.shape(assigned.slot), x.shape[-1]), x.dtype)
        return ops.while_loop(is_left, next_round, (ops.zeros((), "int32"), zeros))[1]

    def at_once(self, x: Tensor, gate: Tensor, assigned: Assigned) -> Tensor:
        """Returns gate times output of each choice, 0 without a slot, [G, S, K, D]."""
        slot = assigned.slot
        chosen = inverse(slot, self.router.num_experts * assigned.slots)  # [G, P]
        # A gate goes to the slot of its choice: every choice is a token of one choice, [G, S·K, 1].
        gate, each = (ops.reshape(y, (-1, slot.shape[1] * slot.shape[2], 1)) for y in (gate, slot))
        gate = to_slots(gate, chosen, each)  # [G, P, 1]
        slotted = self.to_experts(x, chosen, slot)  # [E, G, C, D]
        by_expert = ops.reshape(slotted, (slotted.shape[0], -1, slotted.shape[-1]))  # [E, G·C, D]
        y, _ = self.experts(by_expert, Context())
        y = self.from_experts(ops.reshape(y, ops.shape(slotted)))
        return self.to_tokens(y, gate, chosen, slot)

    def group(self, x: Tensor) -> int:
        """Returns how many tokens compete in training."""
        rows, length = x.shape[:2]
        joined = 1
        if self.group_size is not None and rows is not None:
            most = max(1, min(rows, int(self.group_size) // length))
            joined = max(n for n in range(1, most + 1) if rows % n == 0)
        tokens = length * joined
        if self.router.num_experts > tokens:
            raise LayerError(
                f"num_experts of a router is {self.router.num_experts}, more than the {tokens} "
                "tokens of a group: lower NUM_EXPERTS, or raise moe.MixtureOfExperts.group_size "
                "or the length"
            )
        return tokens

    def capacity(self, tokens: int) -> int:
        """Returns how many slots an expert has for a number of competing tokens."""
        if self.capacity_factor is None:
            return tokens
        share = int(self.capacity_factor * tokens / self.router.num_experts)
        return min(tokens, max(share, self.min_capacity))


class ToExperts(keras.layers.Layer):
    """x of the token at each slot: [G, S, D] → [E, G, C, D], 0 at slots that are free.

    A layer of its own, as `from_experts` is, because meshes assign layouts by layer path. Between
    the two, tokens are on the devices of their experts; outside, on those of their groups.
    """

    def __init__(self, *, num_experts: int, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = num_experts

    def call(self, x: Tensor, chosen: Tensor, slot: Tensor) -> Tensor:
        y = to_slots(x, chosen, slot)  # [G, P, D]
        slots, width = chosen.shape[1] // self.num_experts, x.shape[-1]
        y = ops.reshape(y, (-1, self.num_experts, slots, width))
        return ops.transpose(y, (1, 0, 2, 3))


class ToTokens(keras.layers.Layer):
    """gate · y at the slot of each choice: [E, G, C, D] → [G, S, K, D], 0 where it is dropped."""

    def call(self, y: Tensor, gate: Tensor, chosen: Tensor, slot: Tensor) -> Tensor:
        y = ops.transpose(y, (1, 0, 2, 3))
        y = ops.reshape(y, (-1, chosen.shape[1], y.shape[-1]))  # [G, P, D]
        return from_slots(y * ops.cast(gate, y.dtype), chosen, slot)


@part
class ExpertDense(keras.layers.Layer):
    """`x_e W_e + b_e` for every expert e: [E, N, D] → [E, N, F].

    Replaces a dense layer in a feed-forward. E is the first axis of the input; the initial values
    of each expert are drawn separately.

    Args:
        units: F.
        use_bias: whether b is added.
        kernel_initializer: for W_e [D, F].

    Source: Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 3.1.
    """

    def __init__(
        self,
        units: PositiveInt,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        experts, _, width = x_shape
        self.kernel = self.add_weight(
            shape=(experts, width, self.units),
            initializer=each_expert(self.kernel_initializer),
            name="kernel",
        )
        if self.use_bias:
            shape = (experts, self.units)
            self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        y = ops.matmul(x, self.kernel)
        return y + self.bias[:, None] if self.use_bias else y


def each_expert(one: Any) -> Any:
    """Returns an initializer of [E, ...] that draws each expert's values separately."""

    def draw(shape: Any, dtype: Any = None) -> Any:
        copies = [copy.copy(one) for _ in range(shape[0])]
        for number, other in enumerate(copies):
            if hasattr(other, "seed"):
                other.seed = one.seed + number
        return ops.stack([other(shape[1:], dtype=dtype) for other in copies])

    return draw


def positive(parameter: str, value: float | None) -> float | None:
    """Returns the value of a parameter that must be positive, or refuses it."""
    if value is not None and value <= 0:
        raise LayerError(
            f"moe.MixtureOfExperts.{parameter} must be above 0, got {value}: "
            "an expert without capacity computes nothing"
        )
    return value


def callable_router(router: Any) -> Any:
    """Returns the factory of a router, or refuses anything else."""
    if not callable(router):
        raise LayerError(
            f"moe.MixtureOfExperts.router must be a class of lm.nn.routers, such as "
            f"@routers.SwitchRouter, got {router!r}"
        )
    return router
