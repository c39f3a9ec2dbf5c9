"""The stack of XLNet: a content stream, followed by a query stream that predicts some tokens."""

from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, chain, make_all
from lm.nn.initializers import Initializer, initializer
from lm.nn.masks import same_segment
from lm.nn.stack import repeat
from lm.nn.stack_state import Rows, Standalone, stack_carry
from lm.nn.two_stream_attention import Streams
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


class Predicted(NamedTuple):
    """The positions of a row that the query stream predicts.

    Attributes:
        positions: int32 [B, P].
        attention_mask: bool [B, P, T], which tokens of its segment each of them may see; None is
            all but itself.
    """

    positions: Tensor
    attention_mask: Tensor = None


class Extras(NamedTuple):
    """Further inputs of XLNet's rows besides `Rows`.

    Attributes:
        predicted: `Predicted`; None for no query stream.
        types: int32 [B, T], token types.
        remembered: int32 [B, T], 1 on tokens that go into the memory of the next row; None for all.
        direction: int32 [B], as in `Streams`.
    """

    predicted: Predicted | None = None
    types: Tensor = None
    remembered: Tensor = None
    direction: Tensor = None


NO_MORE = Extras()


@part
class TwoStreamStack(Branch):
    """`after(r_n(… r_1(before([x; w, …, w]))))`: the residuals see both streams as one row.

    The content stream x is that of an encoder. The query stream starts with a learned vector w at
    every predicted position. No position attends to it, and it does not attend to the token that it
    predicts, so that its result depends on that token's position but not on the token.

    Args:
        num_layers: how often the list is repeated, each time with new weights.
        layers: factories of residuals: around `TwoStreamAttention` and positionwise branches.
        query_initializer: name or factory of the initial values of w.
        before, after: factories of layers around the whole stack.

    Carry: `StackCarry`, `()` if no residual has one.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), section 2.3.
    """

    max_sequence_length = None

    def __init__(
        self,
        *,
        num_layers: PositiveInt,
        layers: Sequence[Factory],
        query_initializer: Initializer = "glorot_uniform",
        before: Sequence[Factory] = (),
        after: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.before = make_all(before, "before")
        self.residuals = [
            one for layer in repeat(range(num_layers), layers, "layer") for one in layer
        ]
        self.after = make_all(after, "after")
        self.query_initializer = initializer(query_initializer)

    def build(self, x_shape: Shape) -> None:
        self.query_embedding = self.add_weight(
            shape=(x_shape[-1],), initializer=self.query_initializer, name="query_embedding"
        )

    def call(
        self, x: Tensor, rows: Rows, extras: Extras = NO_MORE, state: State = None
    ) -> tuple[Tensor, State]:
        """Returns the query stream [B, P, D], or x's [B, T, D] without one, and the state after.

        Args:
            x: [B, T, D].
            rows: positions, segments, mask and continuing segments of the tokens x.
            extras: the other inputs of the rows.
            state: `StackCarry` or None.
        """
        if rows.segments is None:
            rows = rows._replace(segments=ops.ones_like(x[:, :, 0], dtype="int32"))
        kind, count = state or Standalone(), x.shape[1]
        alone = kind.context(x, rows)  # of the content stream
        context = doubled(alone, rows, extras)
        x = chain(self.before, self.with_queries(x, extras.predicted))  # [B, T + P, D]
        before, states = state.residuals if state else [None] * len(self.residuals), []
        for residual, own in zip(self.residuals, before, strict=True):
            x, after = residual(x, context, state=own)
            states.append(after)
        x = chain(self.after, x if extras.predicted is None else x[:, count:])
        remembered = alone._replace(segments=context.streams.remembered)
        return x, kind.after(remembered, tuple(states))

    def with_queries(self, x: Tensor, predicted: Predicted | None) -> Tensor:
        """Returns x followed by w for every predicted position, [B, T + P, D]."""
        if predicted is None:
            return x
        w = ops.cast(self.query_embedding, x.dtype)
        shape = (x.shape[0], predicted.positions.shape[1], x.shape[2])
        return ops.concatenate([x, ops.broadcast_to(w, shape)], axis=1)

    def initial_carry(self, batch: int) -> State:
        return stack_carry(self.residuals, batch)


def doubled(alone: Context, rows: Rows, extras: Extras) -> Context:
    """Returns the context of both streams in one row, from that of the content stream."""
    segments, types, positions = alone.segments, extras.types, alone.query_positions
    mask = rows.attention_mask
    if mask is None:
        mask = ops.ones_like(same_segment(segments, segments))  # [B, T, T]
    if extras.predicted is not None:
        index = extras.predicted.positions  # [B, P]
        positions = ops.broadcast_to(positions, segments.shape)
        positions = ops.concatenate([positions, index], axis=1)
        mask = ops.concatenate([mask, visible(extras.predicted, alone.key_positions)], axis=1)
        segments = with_those_at(segments, index)  # [B, Q]
        types = types if types is None else with_those_at(types, index)
    remembered = alone.segments
    if extras.remembered is not None:
        remembered = ops.where(extras.remembered > 0, remembered, 0)
    mask = ops.logical_and(ops.cast(mask, "bool"), same_segment(segments, alone.segments))
    return alone._replace(
        mask=mask[:, None],  # [B, 1, Q, T]
        query_positions=positions,
        streams=Streams(segments, types, remembered, extras.direction),
    )


def visible(predicted: Predicted, keys: Tensor) -> Tensor:
    """Returns the tokens that each predicted position may see, bool [B, P, T]."""
    if predicted.attention_mask is not None:
        return ops.cast(predicted.attention_mask, "bool")
    return ops.not_equal(predicted.positions[:, :, None], keys[:, None, :])


def with_those_at(x: Tensor, index: Tensor) -> Tensor:
    """[B, T] → [B, T + P]: appends the values at the positions index [B, P]."""
    return ops.concatenate([x, ops.take_along_axis(x, index, axis=1)], axis=1)
