"""Mixture of experts: many feed-forwards, of which every token uses a few.

Beside the letters of `lm.nn.branch` and `lm.nn.routers`: P = E · C places of a group. Tokens are
brought to their places and back by gathering, in both directions and in both passes: no tensor has
tokens, experts and places as axes, and all shapes are known to the compiler.
"""

import copy
from typing import Any

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.routers import Routing, report_load
from lm.ranges import Size


class MixtureOfExperts(Branch):
    """`y = Σ_k gate_k(x) · expert_{e_k(x)}(x)` over the experts that a router sends x to.

    An expert has `C = min(S, max(int(factor · S / E), min_capacity))` places for the S tokens of a
    group; a choice that finds none adds nothing, so that a token without any passes by on the
    residual. Padding takes no place. A group is one row of the batch, so that rows do not depend
    on each other, or several rows that share places.

    Reports the share of tokens without a place, the evenness of the load, experts that no token
    wants, and the losses of the router.

    Args:
        router: factory of a layer of `lm.nn.routers`; it knows the number of experts E.
        expert: factory of a feed-forward with `dense = @moe.ExpertDense`: all E at once.
        capacity_factor: in training (Switch 1.25, top-2 2.0); None drops nothing, at E / K times
            the products.
        eval_capacity_factor: the same in evaluation (2.0).
        min_capacity: least number of places (Mesh TensorFlow 4).
        group_size: tokens that share places, at most: as many whole rows as divide the batch;
            None is one row.

    Raises:
        LayerError: for a capacity of zero, an unknown router, or more experts than a group has
            tokens to train them.

    State: none. Given a state nothing is dropped, so that what is decoded depends neither on the
    rows beside it nor on the length of a prompt; it equals training where that drops nothing.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 1; places and groups:
    Lepikhin et al. 2020 (https://arxiv.org/abs/2006.16668), section 2.2.
    """

    def __init__(
        self,
        *,
        router: Factory,
        expert: Factory,
        capacity_factor: float | None,
        eval_capacity_factor: float | None,
        min_capacity: Size = 4,
        group_size: Size | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.router = make(callable_router(router), "router")
        self.experts = make(expert, "experts")
        self.capacity_factor = positive("capacity_factor", capacity_factor)
        self.eval_capacity_factor = positive("eval_capacity_factor", eval_capacity_factor)
        self.min_capacity = int(positive("min_capacity", min_capacity) or 1)
        self.group_size = positive("group_size", group_size)
        self.to_experts = ToExperts(num_experts=self.router.num_experts, name="to_experts")
        self.from_experts = keras.layers.Identity(name="from_experts")
        self.to_tokens = ToTokens(name="to_tokens")

    def call(
        self, x: Any, context: Context, state: State = None, training: Any = None
    ) -> tuple[Any, State]:
        real = ops.ones_like(x[..., 0], "bool")
        if context.segments is not None:
            real = context.segments > 0
        state = state if context.index is not None else None  # a carry: nothing is decoded
        tokens = self.group(x, state)
        capacity = self.capacity(tokens, state, training)
        grouped = ops.reshape(x, (-1, tokens, x.shape[-1]))  # [G, S, D]
        real = ops.reshape(real, (-1, tokens))
        routing = self.router(grouped, real, capacity=capacity)
        nowhere = self.router.num_experts * capacity
        report_load(routing.load, real, routing.place, nowhere)
        y = self.mix(ops.cast(grouped, self.compute_dtype), routing, capacity)
        return ops.reshape(y, ops.shape(x)), ()

    def mix(self, x: Any, routing: Routing, capacity: int) -> Any:
        """Returns the sum of the experts' outputs, [G, S, D]."""
        _, tokens, choices = routing.place.shape
        nowhere = self.router.num_experts * capacity
        chosen = inverse(routing.place, nowhere)  # [G, P], the choice at each place
        places = (chosen // choices, routing.place)
        gates = ops.reshape(routing.gate, (-1, tokens * choices, 1))
        gates = to_places(gates, chosen, ops.reshape(routing.place, (-1, tokens * choices, 1)))
        there = self.to_experts(x, *places)  # [E, G, C, D]
        experts, _, _, width = there.shape
        y, _ = self.experts(ops.reshape(there, (experts, -1, width)), Context())
        y = self.from_experts(ops.reshape(y, ops.shape(there)))
        return self.to_tokens(y, gates, *places)

    def group(self, x: Any, state: State) -> int:
        """Returns how many tokens share places."""
        rows, length = x.shape[:2]
        if state is not None or self.group_size is None or rows is None:
            return length
        most = max(1, min(rows, int(self.group_size) // length))
        return length * max(n for n in range(1, most + 1) if rows % n == 0)

    def capacity(self, tokens: int, state: State, training: Any) -> int:
        """Returns C."""
        experts = self.router.num_experts
        if training and state is None and experts > tokens:
            raise LayerError(
                f"num_experts of a router is {experts}, more than the {tokens} tokens of a group: "
                "lower NUM_EXPERTS, or raise moe.MixtureOfExperts.group_size or the length"
            )
        factor = self.capacity_factor if training else self.eval_capacity_factor
        if factor is None or state is not None:
            return tokens
        return min(tokens, max(int(factor * tokens / experts), self.min_capacity))


class ToExperts(keras.layers.Layer):
    """x of the token at each place: [G, S, D] → [E, G, C, D], 0 at places that are free.

    A layer of its own, as `from_experts` is: what a mesh splits is named by the path of a layer.
    Between the two tokens lie with their experts, outside of them with their groups.
    """

    def __init__(self, *, num_experts: int, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.num_experts = num_experts

    def call(self, x: Any, token: Any, place: Any) -> Any:
        y = to_places(x, token, place)  # [G, P, D]
        capacity, width = token.shape[1] // self.num_experts, x.shape[-1]
        y = ops.reshape(y, (-1, self.num_experts, capacity, width))
        return ops.transpose(y, (1, 0, 2, 3))


class ToTokens(keras.layers.Layer):
    """Σ over a token's places of gate · y there: [E, G, C, D] → [G, S, D]."""

    def call(self, y: Any, gate: Any, token: Any, place: Any) -> Any:
        y = ops.transpose(y, (1, 0, 2, 3))
        y = ops.reshape(y, (-1, token.shape[1], y.shape[-1]))  # [G, P, D]
        return from_places(y * ops.cast(gate, y.dtype), token, place)


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
        units: Size,
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


def inverse(place: Any, nowhere: int) -> Any:
    """Returns the choice at each place, int32 [G, P]; S · K at free places.

    >>> print(np.asarray(inverse(ops.array([[[2], [4], [0]]]), 4)))
    [[2 3 0 3]]
    """
    groups, choices = ops.shape(place)[0], place.shape[1] * place.shape[2]
    flat = ops.reshape(place, (-1, choices)) + ops.arange(groups, dtype="int32")[:, None] * (
        nowhere + 1
    )
    choice = ops.broadcast_to(ops.arange(choices, dtype="int32"), ops.shape(flat))
    free = ops.full((groups * (nowhere + 1),), choices, dtype="int32")
    filled = ops.scatter_update(free, ops.reshape(flat, (-1, 1)), ops.reshape(choice, (-1,)))
    return ops.reshape(filled, (groups, nowhere + 1))[:, :nowhere]


def taken(x: Any, index: Any) -> Any:
    """Returns x[g, index[g, i]], [G, N, D] → [G, I, D]; an index of N takes 0."""
    padded = ops.pad(x, [[0, 0], [0, 1], [0, 0]])
    return ops.take_along_axis(padded, index[..., None], axis=1)


def taken_sum(y: Any, place: Any) -> Any:
    """Returns Σ_k y[g, place[g, s, k]], [G, P, D] → [G, S, D]."""
    _, tokens, choices = place.shape
    found = taken(y, ops.reshape(place, (-1, tokens * choices)))
    return ops.sum(ops.reshape(found, (-1, tokens, choices, y.shape[-1])), axis=2)


@ops.custom_gradient
def to_places(x: Any, token: Any, place: Any) -> Any:
    """Returns x at each place, [G, S, D] → [G, P, D]; the gradient gathers too."""
    return taken(x, token), lambda *args, upstream=None: (
        taken_sum(args[0] if upstream is None else upstream, place),
        None,
        None,
    )


@ops.custom_gradient
def from_places(y: Any, token: Any, place: Any) -> Any:
    """Returns the sum of y over each token's places, [G, P, D] → [G, S, D]; the transpose."""
    return taken_sum(y, place), lambda *args, upstream=None: (
        taken(args[0] if upstream is None else upstream, token),
        None,
        None,
    )


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
