"""Mixture of experts: many feed-forwards, of which every token uses a few.

Letters as in `lm.nn.branch`, `lm.nn.routers` and `lm.nn.expert_slots`.
"""

import copy
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.expert_slots import Assigned, from_slots, in_turns, inverse, queue, to_slots
from lm.nn.routers import Competition, report_load
from lm.parts import part
from lm.ranges import PositiveInt

_BY_EXPERT = ("expert", "expert_replicas", "unmodeled", "unmodeled")  # [E, G, C, D]


@part
class MixtureOfExperts(Branch):
    """`y = Σ_k gate_k(x) · expert_{e_k(x)}(x)` over the experts that a router sends x to.

    In training an expert has `min(n, max(int(capacity_factor · n / E), min_capacity))` slots for
    the n real tokens of a group; a choice that finds none adds nothing, so that a token without
    any slot passes by on the residual. A group is one row of the batch or several. Packed examples
    of a group compete, so that in training packed equals alone only where `capacity_factor` is
    None. Padding takes no slot and brings none.

    Evaluation, scoring and decoding drop nothing: every example gets what it gets alone, whatever
    is packed, padded or batched with it. They take about three times the products of the chosen
    experts.

    Reports the share of tokens without a slot, the evenness of the load, experts that no token
    requests, and the losses of the router.

    Args:
        router: factory of a layer of `lm.nn.routers`; it knows the number of experts E.
        expert: factory of a feed-forward with `dense = @moe.ExpertDense`: all E at once.
        capacity_factor: slots over those that an even load fills (Switch 1.25, top-2 2.0); None
            drops nothing in training either, at E / K times the products.
        min_capacity: least number of slots (Mesh TensorFlow 4).
        group_size: tokens that compete in training, at most: as many whole rows as divide the
            batch; None is one row.

    Raises:
        LayerError: for a capacity of zero, an unknown router, or more experts than a group has
            tokens to train them.

    State: none.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 1; capacity and groups:
    Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 2.2.
    Departures: papers have a capacity in evaluation too, by which a token's output depends on what
    shares its batch.
    """

    # What it says of its feed-forward's matrices goes before what that says itself.
    logical_axes: ClassVar = {
        "experts/(gate|hidden)/kernel": ("expert", "embed", "expert_mlp"),
        "experts/(gate|hidden)/bias": ("expert", "expert_mlp"),
        "experts/output/kernel": ("expert", "expert_mlp", "embed"),
        "experts/output/bias": ("expert", "embed"),
    }
    # Where XLA must not choose: tokens go to the devices of their experts, all to all.
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

    def build(self, x_shape: Any) -> None:
        """Makes the variables of the experts here: a loop over turns could not."""
        self.experts(
            ops.zeros((self.router.num_experts, 1, x_shape[-1])), Context(), training=False
        )

    def call(
        self, x: Any, context: Context, state: State = None, training: Any = None
    ) -> tuple[Any, State]:
        del state
        tokens = self.group(x) if training else x.shape[1]
        competition = self.competition(x, context.segments, tokens, training)
        grouped = ops.reshape(x, (-1, tokens, x.shape[-1]))  # [G, S, D]
        choices = self.router(grouped, competition)
        if training:
            slots = self.capacity(tokens)
            assigned = queue(choices, competition, self.router.num_experts, slots)
        else:
            assigned = in_turns(choices, self.router.num_experts)
        dropped = ops.equal(assigned.slot, self.router.num_experts * assigned.slots)
        report_load(choices, competition.real, dropped, self.router.num_experts)
        y = self.mix(ops.cast(grouped, self.compute_dtype), choices.gate, assigned)
        return ops.reshape(y, ops.shape(x)), ()

    def competition(self, x: Any, segments: Any, tokens: int, training: Any) -> Competition:
        """Returns who competes: in training all of a group, else each example by itself."""
        if segments is None:
            segments = ops.ones_like(x[..., 0], "int32")
        if training:
            segments = ops.cast(segments > 0, "int32")
        slots = np.array([self.capacity(n) for n in range(tokens + 1)], "int32")
        return Competition(ops.reshape(segments, (-1, tokens)), ops.convert_to_tensor(slots))

    def mix(self, x: Any, gate: Any, assigned: Assigned) -> Any:
        """Returns the sum of the experts' outputs times their gates, [G, S, D]."""
        path = self.at_once if assigned.turn is None else self.in_turn
        return ops.sum(path(x, gate, assigned), axis=2)

    def in_turn(self, x: Any, gate: Any, assigned: Assigned) -> Any:
        """Returns what `at_once` does, turn after turn until the last one."""
        dropped = self.router.num_experts * assigned.slots
        last = ops.max(ops.where(assigned.slot < dropped, assigned.turn, -1))

        def goes_on(turn: Any, y: Any) -> Any:
            del y
            return turn <= last

        def next_turn(turn: Any, y: Any) -> tuple[Any, Any]:
            slot = ops.where(ops.equal(assigned.turn, turn), assigned.slot, dropped)
            # A choice has its turn once: what is added to it in the others is 0.
            return turn + 1, y + self.at_once(x, gate, assigned._replace(slot=slot))

        nothing = ops.zeros((*ops.shape(assigned.slot), x.shape[-1]), x.dtype)
        return ops.while_loop(goes_on, next_turn, (ops.zeros((), "int32"), nothing))[1]

    def at_once(self, x: Any, gate: Any, assigned: Assigned) -> Any:
        """Returns gate times output of each choice that has a slot, 0 of others, [G, S, K, D]."""
        slot = assigned.slot
        chosen = inverse(slot, self.router.num_experts * assigned.slots)  # [G, P]
        gate, each = (ops.reshape(y, (-1, slot.shape[1] * slot.shape[2], 1)) for y in (gate, slot))
        gate = to_slots(gate, chosen, each)  # [G, P, 1]
        there = self.to_experts(x, chosen, slot)  # [E, G, C, D]
        y, _ = self.experts(ops.reshape(there, (there.shape[0], -1, there.shape[-1])), Context())
        y = self.from_experts(ops.reshape(y, ops.shape(there)))
        return self.to_tokens(y, gate, chosen, slot)

    def group(self, x: Any) -> int:
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
        """Returns the slots that an expert has for so many tokens that compete."""
        if self.capacity_factor is None:
            return tokens
        share = int(self.capacity_factor * tokens / self.router.num_experts)
        return min(tokens, max(share, self.min_capacity))


class ToExperts(keras.layers.Layer):
    """x of the token at each slot: [G, S, D] → [E, G, C, D], 0 at slots that are free.

    A layer of its own, as `from_experts` is: what a mesh splits is named by the path of a layer.
    Between the two tokens lie with their experts, outside of them with their groups.
    """

    def __init__(self, *, num_experts: int, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = num_experts

    def call(self, x: Any, chosen: Any, slot: Any) -> Any:
        y = to_slots(x, chosen, slot)  # [G, P, D]
        slots, width = chosen.shape[1] // self.num_experts, x.shape[-1]
        y = ops.reshape(y, (-1, self.num_experts, slots, width))
        return ops.transpose(y, (1, 0, 2, 3))


class ToTokens(keras.layers.Layer):
    """gate · y at the slot of each choice: [E, G, C, D] → [G, S, K, D], 0 where it is dropped."""

    def call(self, y: Any, gate: Any, chosen: Any, slot: Any) -> Any:
        y = ops.transpose(y, (1, 0, 2, 3))
        y = ops.reshape(y, (-1, chosen.shape[1], y.shape[-1]))  # [G, P, D]
        return from_slots(y * ops.cast(gate, y.dtype), chosen, slot)


@part
class ExpertDense(keras.layers.Layer):
    """`x_e W_e + b_e` for every expert e: [E, N, D] → [E, N, F].

    It takes the place of a dense layer in a feed-forward. E is what the input leads with; the
    initial values of each expert are those of a matrix of its own.

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

    def build(self, x_shape: Any) -> None:
        experts, _, width = x_shape
        self.kernel = self.add_weight(
            shape=(experts, width, self.units),
            initializer=each_expert(self.kernel_initializer),
            name="kernel",
        )
        if self.use_bias:
            shape = (experts, self.units)
            self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        y = ops.matmul(x, self.kernel)
        return y + self.bias[:, None] if self.use_bias else y


def each_expert(one: Any) -> Any:
    """Returns an initializer of [E, ...] that draws each expert's [...] by itself."""

    def draw(shape: Any, dtype: Any = None) -> Any:
        copies = [copy.copy(one) for _ in range(shape[0])]
        for number, other in enumerate(copies):
            if hasattr(other, "seed"):
                other.seed = one.seed + number
        return ops.stack([other(shape[1:], dtype=dtype) for other in copies])

    return draw


def positive(parameter: str, value: float | None) -> float | None:
    """Returns the value of a parameter that must not be zero, or refuses it."""
    if value is not None and value <= 0:
        raise LayerError(
            f"moe.MixtureOfExperts.{parameter} must be above 0, got {value}: "
            "an expert without capacity computes nothing"
        )
    return value


def callable_router(router: Any) -> Any:
    """Returns the factory of a router, or refuses what is none."""
    if not callable(router):
        raise LayerError(
            f"moe.MixtureOfExperts.router must be a class of lm.nn.routers, such as "
            f"@routers.SwitchRouter, got {router!r}"
        )
    return router
