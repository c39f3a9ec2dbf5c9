"""The stack of the Funnel-Transformer: blocks on ever shorter rows, and a decoder to all tokens."""

from collections.abc import Sequence

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Context, Factory, Source, chain, make_all
from lm.nn.dropout import Dropout
from lm.nn.funnel_attention import Relative, Sinusoids, relative_sinusoids
from lm.nn.funnel_pooling import Alignment, PoolingWindows, Row, pool, starts, upsample
from lm.nn.masks import same_segment
from lm.nn.reports import report
from lm.nn.stack import repeat
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, UnitFloat
from lm.types import Layer, Shape, Tensor

CLS_TYPE = 2


@part
class FunnelStack(keras.layers.Layer):
    """`h_0 = block_0(x); h_b = block_b(pool(h_{b-1}))`, decoded as `layers(upsample(h) + h_0)`.

    The first layer of a block b > 0 pools only queries and residuals; keys and values come from the
    longer row (pool-query-only). The first token of every example, [CLS], is never pooled with
    another, and attention from or to it ignores positions and types.

    Packed examples are moved to positions where one grid of pooling windows fits all of them
    (`funnel_pooling.Alignment`), so that each gets the same result as alone. If a row has more than
    `max_segments` examples, its outputs are NaN, not silently wrong, and the metric `crowded_rows`
    counts it. Examples begin at position 0 and follow each other.

    Args:
        block_sizes: layers of each block, e.g. [4, 4, 4]; rows are pooled before all but the first.
        block_repeats: how often each layer of a block is applied in succession; B6-3x2-3x2 has
            sizes [6, 3, 3] and repeats [1, 2, 2].
        num_decoder_layers: layers on the full row after upsampling; 0 returns the last block's
            output [B, T', D].
        layers: factories of the residuals that make a layer.
        pooling_windows: factory of the rule for a leftover token at the end of an example,
            `funnel_pooling.CompleteWindows` or `funnel_pooling.AllWindows`.
        max_segments: maximum number of examples in a row; each but the first costs up to
            2^(blocks - 1) - 1 extra positions (`AllWindows`: twice that).
        sinusoid_dropout: rate on the sinusoids of queries and distances.
        before: factories of layers before the first block.

    Raises:
        LayerError: if a number is out of range, or the row is too short to be pooled so often.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), section 2 and appendix A.
    Departures: a mean covers only the real tokens of a window; the release includes padding. A
    window is padding only if both positions are (as in the release; in Hugging Face if one is).
    Hugging Face does not pool rows of two or fewer; here they are refused.
    """

    def __init__(  # noqa: PLR0913 - each one is a number or a choice of the paper
        self,
        *,
        block_sizes: Sequence[PositiveInt],
        block_repeats: Sequence[PositiveInt] | None = None,
        num_decoder_layers: NonNegativeInt,
        layers: Sequence[Factory],
        pooling_windows: Factory,
        max_segments: PositiveInt = 1,
        sinusoid_dropout: UnitFloat = 0.0,
        before: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        repeats = [1] * len(block_sizes) if block_repeats is None else block_repeats
        check(block_sizes, repeats, num_decoder_layers, max_segments)
        self.repeats = tuple(repeats)
        self.max_segments = max_segments
        self.pooling_windows: PoolingWindows = pooling_windows()
        self.before = make_all(before, "before")
        self.blocks = [
            # The first layer has its own context: it may read the longer row.
            repeat(range(1), layers, f"layer_{block}")
            + repeat(range(1, size), layers, f"layer_{block}")
            for block, size in enumerate(block_sizes)
        ]
        self.decoder = repeat(range(num_decoder_layers), layers, "layer_decoder")
        self.sinusoid_dropout = Dropout(rate=sinusoid_dropout, name="wave_dropout")

    def build(self, x_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del x_shape

    def call(self, x: Tensor, segments: Tensor = None, types: Tensor = None) -> Tensor:
        """Returns [B, T, D], or without a decoder the last block's output [B, T', D].

        Args:
            x: [B, T, D].
            segments: int32 [B, T], 1, 2, … for the examples of a row and 0 for padding; None is
                one full example.
            types: int32 [B, T], token types of which 2 equals all; None is one type.
        """
        x = ops.cast(chain(self.before, x), self.compute_dtype)
        if segments is None:
            return self.apply(x, Row(ops.ones((1, x.shape[1]), "int32"), types))
        crowded = ops.sum(ops.cast(starts(segments)[:, 1:], "int32"), 1) >= self.max_segments
        report("crowded_rows", ops.sum(ops.cast(crowded, "float32")), x.shape[0])
        y = self.apply_aligned(x, Row(segments, types))
        return ops.where(crowded[:, None, None], ops.cast(float("nan"), y.dtype), y)

    def apply_aligned(self, x: Tensor, row: Row) -> Tensor:
        """Applies blocks and decoder where every example of a row starts on the grid."""
        if self.max_segments == 1:
            return self.apply(x, row)
        alignment = Alignment(
            row.segments,
            windows=self.pooling_windows,
            stride=2 ** (len(self.blocks) - 1),
            max_segments=self.max_segments,
        )
        y = self.apply(alignment.align(x), alignment.align_row(row))
        return alignment.restore(y) if self.decoder else y

    def apply(self, x: Tensor, row: Row) -> Tensor:
        """Applies the blocks and the decoder to rows whose examples lie on the grid."""
        full_row, full = row, self.context(x, row, 1)
        x = first = self.run(self.blocks[0], self.repeats[0], x, full, full)
        for block, layers in enumerate(self.blocks[1:], 1):
            self.check_length(x.shape[1])
            longer, longer_row = x, row
            x, row = pool(x, row, self.pooling_windows)
            pooling = self.context(x, row, 2**block, longer, longer_row)
            after = self.context(x, row, 2**block)
            x = self.run(layers, self.repeats[block], x, pooling, after)
        if not self.decoder:
            return x
        x = first + upsample(x, row, full_row, 2 ** (len(self.blocks) - 1))
        return self.run(self.decoder, 1, x, full, full)

    def run(
        self,
        layers: Sequence[Sequence[Layer]],
        repeats: int,
        x: Tensor,
        first: Context,
        after: Context,
    ) -> Tensor:
        """Applies layers, each `repeats` times; the very first application has its own context."""
        context = first
        for layer in layers:
            for _ in range(repeats):
                for residual in layer:
                    x, _ = residual(x, context)
                context = after
        return x

    def context(
        self, x: Tensor, row: Row, stride: int, longer: Tensor = None, longer_row: Row | None = None
    ) -> Context:
        """Returns the context of the layers on a row; the first layer may read a longer row."""
        keys, key_stride = (row, stride) if longer_row is None else (longer_row, stride // 2)
        positions, segments = first_tokens(x, row, stride)
        source = None
        if longer_row is not None:
            source = Source(longer, *first_tokens(longer, longer_row, key_stride))
        return Context(
            positions=positions,
            segments=segments,
            mask=same_segment(row.segments, keys.segments)[:, None],
            source=source,
            relative=self.relative(row, stride, keys, key_stride, x.shape[-1]),
        )

    def relative(self, row: Row, stride: int, keys: Row, key_stride: int, width: int) -> Relative:
        """Returns the relative positions of queries and keys, with sinusoids of a width."""
        count, size = row.segments.shape[1], keys.segments.shape[1]
        query, key, distance = (
            ops.convert_to_tensor(each, self.compute_dtype)
            for each in relative_sinusoids(count, stride, size, key_stride, width)
        )
        inner, inner_keys = (ops.logical_not(starts(each.segments)) for each in (row, keys))
        return Relative(
            Sinusoids(self.sinusoid_dropout(query), key, self.sinusoid_dropout(distance)),
            related=ops.logical_and(inner[:, :, None], inner_keys[:, None, :])[:, None],
            same_type=None if row.types is None else same_type(row.types, keys.types),
        )

    def check_length(self, length: int) -> None:
        """Raises LayerError for rows that are too short for the pooling."""
        if length <= 2:  # noqa: PLR2004 - [CLS] and one window
            raise LayerError(
                f"FunnelStack.block_sizes has {len(self.blocks)} blocks, so rows are pooled "
                f"{len(self.blocks) - 1} times, but {length} positions are left before the last: "
                "raise TASK_FEATURE_LENGTHS or take fewer blocks"
            )


def first_tokens(x: Tensor, row: Row, stride: int) -> tuple[Tensor, Tensor]:
    """Returns the position in the full row of each vector's first token, and segments, [B, T]."""
    first = 1 + stride * (ops.arange(x.shape[1], dtype="int32")[None] - 1)
    zeros = ops.zeros_like(x[..., 0], "int32")
    return first + zeros, row.segments + zeros


def same_type(types: Tensor, key_types: Tensor) -> Tensor:
    """Returns bool [B, 1, T, S]: equal token types, or one of them is that of [CLS]."""
    query, key = types[:, None, :, None], key_types[:, None, None, :]
    either = ops.logical_or(ops.equal(query, CLS_TYPE), ops.equal(key, CLS_TYPE))
    return ops.logical_or(ops.equal(query, key), either)


def check(sizes: Sequence[int], repeats: Sequence[int], decoder: int, segments: int) -> None:
    """Raises LayerError for numbers out of range."""
    if not sizes or min(sizes) < 1:
        raise LayerError(f"FunnelStack.block_sizes must be a list of numbers ≥ 1, got {sizes!r}")
    if len(repeats) != len(sizes) or min(repeats) < 1:
        raise LayerError(
            f"FunnelStack.block_repeats must be {len(sizes)} numbers ≥ 1, one for each of "
            f"block_sizes = {list(sizes)}, got {list(repeats)}"
        )
    if decoder < 0:
        raise LayerError(f"FunnelStack.num_decoder_layers must be ≥ 0, got {decoder}")
    if segments < 1:
        raise LayerError(f"FunnelStack.max_segments must be ≥ 1, got {segments}")
