"""A stack repeats residuals and owns what they share: positions, masks, position bias, index."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, chain, make, make_all
from lm.nn.cache import NEVER, Slots, empty_slots, enter
from lm.nn.carry import last_segment
from lm.nn.masks import both, same_segment, sees_ahead
from lm.nn.repeat import repeat
from lm.parts import part
from lm.ranges import PositiveInt


class StackState(NamedTuple):
    """What a stack keeps between steps.

    Attributes:
        index: int32 [B], positions written so far in each row.
        slots: what the slots of the caches hold.
        residuals: the states of the residuals.
    """

    index: Any
    slots: Slots
    residuals: tuple[Any, ...]


class StackCarry(NamedTuple):
    """What a stack hands from one row to the next.

    Attributes:
        positions: int32 [B], positions of the text so far that each row ended with.
        residuals: the carries of the residuals.
    """

    positions: Any
    residuals: tuple[Any, ...]


@part
class Stack(Branch):
    """Applies `num_layers` times the residuals of `layers`, in order.

    Args:
        num_layers: how often the list is repeated, each time with weights of its own.
        layers: factories of residuals.
        mask: who may look at whom: `masks.causal` or `masks.bidirectional`.
        position: factory of a layer `(x, positions) -> x` for absolute positions, with
            `max_sequence_length` and `check_length`, or None.
        position_bias: factory of a layer `(query, key) -> [B or 1, H, T, S]` whose result every
            attention of the stack adds to its logits, or None.
        before, after: factories of layers around the whole stack.

    Raises:
        LayerError: if something in `layers` looks ahead and `mask` does not.

    State: `StackState`; positions and index advance by the real tokens of each row, so that
    prompts of different lengths share a batch, padded on the right.

    Carry: `StackCarry`, `()` where no residual has one. The segment that goes on counts its
    positions from where its text began.
    """

    def __init__(
        self,
        *,
        num_layers: PositiveInt,
        layers: Sequence[Factory],
        mask: Callable[[Any, Any], Any],
        position: Factory | None = None,
        position_bias: Factory | None = None,
        before: Sequence[Factory] = (),
        after: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.mask = mask
        self.position = make(position) if position else None
        self.position_bias = make(position_bias) if position_bias else None
        self.before = make_all(before, "before")
        self.residuals = [
            one for layer in repeat(range(num_layers), layers, "layer") for one in layer
        ]
        self.after = make_all(after, "after")
        if not sees_ahead(mask):
            refuse_looking_ahead(self.residuals)

    @property
    def max_sequence_length(self) -> int | None:
        """Positions there are embeddings for; None if they are computed."""
        return self.position.max_sequence_length if self.position else None

    def call(  # noqa: PLR0913, PLR0917 - all that rows may bring
        self,
        x: Any,
        positions: Any = None,
        segments: Any = None,
        prefix: Any = None,
        attention_mask: Any = None,
        memory: Any = None,
        memory_segments: Any = None,
        carried: Any = None,
        state: State = None,
    ) -> tuple[Any, State]:
        """Returns (y [B, T, D], state after).

        Args:
            x: [B, T, D].
            positions: int32 [B, T] inside each segment of the row; by default counted along it.
            segments: int32 [B, T]; given a state, 1 marks the tokens that advance it.
            prefix: int32 [B, T], 1 on the tokens that all see each other, or None.
            attention_mask: bool [B, T, T], which token may look at which of its segment, in place
                of the stack's rule: `masks.causal(order, order)` of a permutation, say.
            memory: [B, S, D] for cross-attention; with a state only at the first call.
            memory_segments: int32 [B, S].
            carried: int32 [B], the segment that goes on with a carry, 0 where none does.
            state: `StackState`, `StackCarry` or None.
        """
        carry = state if isinstance(state, StackCarry) else None
        state = state if isinstance(state, StackState) else None
        query = places(x, state)
        if state:
            state = state._replace(slots=enter(state.slots, real(query, segments)))
        key = state.slots.places if state else query
        if positions is None:
            positions = query + ops.zeros_like(x[:, :, 0], dtype="int32")
        if carry:
            segments = ops.ones_like(positions) if segments is None else segments
            positions = positions + behind(carry, carried, segments)
        context = Context(
            positions=positions,
            segments=segments,
            mask=self.visible(
                query, key, segments if state is None else None, prefix, attention_mask
            ),
            position_bias=self.position_bias(query, key) if self.position_bias else None,
            memory=memory,
            memory_mask=visible_memory(segments if state is None else None, memory_segments),
            index=None if state is None else state.index,
            key_places=key,
            slot=state.slots.next if state else None,
            carried=ops.ones_like(state.index) if state else carried,
        )
        if self.position:
            x = self.position(x, positions)
        x = chain(self.before, x)
        before, states = state or carry, []
        for i, residual in enumerate(self.residuals):
            x, after = residual(x, context, state=before.residuals[i] if before else None)
            states.append(after)
        if carry:
            return chain(self.after, x), StackCarry(count(positions, segments), tuple(states))
        return chain(self.after, x), advance(state, segments, tuple(states), x.shape[1])

    def visible(self, query: Any, key: Any, segments: Any, prefix: Any, mask: Any) -> Any:
        """Returns bool [B or 1, 1, T, S]."""
        mask = self.mask(query, key) if mask is None else ops.cast(mask, "bool")
        if prefix is not None:
            capacity, count = key.shape[1], query.shape[1]
            keys = ops.pad(prefix, [[0, 0], [0, capacity - count]])
            mask = ops.logical_or(mask, both(prefix, keys))
        if segments is not None:
            mask = ops.logical_and(mask, same_segment(segments, segments))
        return mask[:, None]

    def initial_state(self, batch: int, length: int) -> StackState:
        if self.position:
            self.position.check_length(length)
        return StackState(
            index=ops.zeros((batch,), "int32"),
            slots=empty_slots(batch, length),
            residuals=tuple(r.initial_state(batch, length) for r in self.residuals),
        )

    def initial_carry(self, batch: int) -> State:
        residuals = tuple(r.initial_carry(batch) for r in self.residuals)
        if not keras.tree.flatten(residuals):
            return ()
        refuse_table(self.position)
        return StackCarry(ops.zeros((batch,), "int32"), residuals)


def places(x: Any, state: StackState | None) -> Any:
    """Returns the places in the row of new positions, [B or 1, T]."""
    new = ops.arange(x.shape[1], dtype="int32")[None]
    return new if state is None else state.index[:, None] + new


def real(places: Any, segments: Any) -> Any:
    """Returns the places [B, T] of what is in a segment, and `NEVER` for padding."""
    return places if segments is None else ops.where(segments > 0, places, NEVER)


def visible_memory(segments: Any, memory_segments: Any) -> Any:
    """Returns bool [B, 1, T or 1, S]: each example sees its own memory, never the padding."""
    if memory_segments is None:
        return None
    if segments is None:
        return memory_segments[:, None, None, :] > 0
    return same_segment(segments, memory_segments)[:, None]


def advance(state: StackState | None, segments: Any, residuals: tuple[Any, ...], count: int) -> Any:
    """Returns the state after `count` positions, of which those in a segment were real."""
    if state is None:
        return ()
    if segments is None:
        segments = ops.ones((state.index.shape[0], count), "int32")
    counts = ops.sum(ops.cast(segments > 0, "int32"), axis=1)
    written = ops.max(counts) * state.slots.is_own.shape[1]
    slots = state.slots._replace(next=state.slots.next + written)
    return StackState(state.index + counts, slots, residuals)


def behind(carry: StackCarry, carried: Any, segments: Any) -> Any:
    """Returns the positions of each token's text before the row, int32 [B, T]."""
    return ops.where(ops.equal(segments, carried[:, None]), carry.positions[:, None], 0)


def count(positions: Any, segments: Any) -> Any:
    """Returns how many positions the last text of each row has so far, int32 [B].

    >>> print(np.asarray(count(ops.array([[7, 0, 1, 0]]), ops.array([[1, 2, 2, 0]]))))
    [2]
    """
    is_last = ops.equal(segments, last_segment(segments))
    return ops.max(ops.where(is_last, positions + 1, 0), axis=1)


def refuse_table(position: Any) -> None:
    """Refuses positions that end, for a text that goes on from batch to batch has no end."""
    length = getattr(position, "max_sequence_length", None)
    if length is not None:
        owner = type(position).__name__
        raise LayerError(
            f"{owner}.max_sequence_length = {length} bounds the positions, but texts go on from "
            "batch to batch: bind position.SinusoidalPosition or a relative position in its place, "
            "or take data whose rows stand alone"
        )


def refuse_looking_ahead(residuals: Sequence[Any]) -> None:
    """Refuses layers whose result at a position depends on later ones whatever the mask says.

    Such a layer has an attribute `looks_ahead`: the binding by which it was chosen.
    """
    for residual in residuals:
        for layer in residual._flatten_layers():
            if binding := getattr(layer, "looks_ahead", None):
                raise LayerError(
                    f"{binding}: {type(layer).__name__} depends on later tokens, which "
                    "stack.Stack.mask = @masks.causal hides; bind another one in this stack"
                )
