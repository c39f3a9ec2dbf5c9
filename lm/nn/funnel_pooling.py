"""Pooling rows of packed examples without mixing examples, and upsampling them again.

Within an example the first token, [CLS], is a window of its own, followed by (1, 2), (3, 4), … If
every example starts at a multiple of 2^(number of poolings), one grid of windows (2m - 1, 2m) fits
the whole row, which keeps shapes static; masks do the rest. `Alignment` moves examples accordingly.

    positions  0    1 2  3 4  5 6  7 8      an example of 6 tokens, then one of 1
    tokens     C    a b  c d  e .  . C
    pooled     C    a+b  c+d  .      C      `CompleteWindows`: e has no partner and is dropped
    pooled     C    a+b  c+d  e      C      `AllWindows` (which starts the second example later)
"""

from typing import NamedTuple, Protocol

from keras import ops

from lm.parts import part
from lm.types import Tensor


class Row(NamedTuple):
    """Segments and types of the positions of a row.

    Attributes:
        segments: int32 [B or 1, T], 1, 2, … for the examples of a row and 0 for none.
        types: int32 [B or 1, T], token types, or None.
    """

    segments: Tensor
    types: Tensor = None


class PoolingWindows(Protocol):
    """The rule for which pooling windows of an example are kept."""

    def length(self, length: int) -> int:
        """Returns the length of a row of this length after one pooling."""

    def capacity(self, length: Tensor, stride: int) -> Tensor:
        """Returns how many positions an example needs, a multiple of `stride`."""

    def segment(self, left: Tensor, right: Tensor) -> Tensor:
        """Returns the segment of a window from those of its two positions, 0 for none."""


@part
class CompleteWindows:
    """Drops an incomplete last window: n → ⌈n/2⌉, 512 → 256 → 128.

    The dropped token is still a key of the pooling layer, and returns by the decoder's residual.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), appendix A.1, `truncate_seq`.
    Departures: the release drops the last position of the row; here it is the last window of the
    example, so that padding changes nothing. Both agree for full rows of even length.
    """

    def length(self, length: int) -> int:
        return -(-length // 2)

    def capacity(self, length: Tensor, stride: int) -> Tensor:
        return (length + stride - 1) // stride * stride

    def segment(self, left: Tensor, right: Tensor) -> Tensor:
        del left
        return right


@part
class AllWindows:
    """Keeps an incomplete last window: n → ⌊n/2⌋ + 1, 512 → 257 → 129.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), release without `truncate_seq`.
    """

    def length(self, length: int) -> int:
        return length // 2 + 1

    def capacity(self, length: Tensor, stride: int) -> Tensor:
        return ((length + stride - 2) // stride + 1) * stride

    def segment(self, left: Tensor, right: Tensor) -> Tensor:
        return ops.where(right > 0, right, left)


def pool(x: Tensor, row: Row, windows: PoolingWindows) -> tuple[Tensor, Row]:
    """Returns the means of the windows' real tokens, [B, T', D], and their segments and types.

    >>> row = Row(ops.array([[1, 1, 1, 1, 1, 1]]))
    >>> y, pooled = pool(ops.arange(6.0)[None, :, None], row, CompleteWindows())
    >>> print(np.asarray(y)[0, :, 0], np.asarray(pooled.segments))
    [0.  1.5 3.5] [[1 1 1]]
    """
    length = windows.length(x.shape[1])
    left, right = pairs(row.segments, length)  # [B, T'] each
    segments = windows.segment(left, right)
    has_left, has_right = ops.equal(left, segments), ops.equal(right, segments)
    a, b = pairs(x, length)  # [B, T', D] each
    one = ops.where(has_left[..., None], a, b)
    both = ops.logical_and(has_left, has_right)[..., None]
    y = ops.where(both, (a + b) / 2, one)
    if row.types is None:
        return y, Row(segments)
    return y, Row(segments, ops.where(has_left, *pairs(row.types, length)))


def pairs(x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Returns the positions 2m - 1 and 2m of x for m < `length`, zero outside of the row.

    >>> [np.asarray(part).tolist() for part in pairs(ops.array([[5, 6, 7, 8]]), 2)]
    [[[0, 6]], [[5, 7]]]
    """
    rest = x.shape[2:]
    x = ops.pad(x, [[0, 0], [1, 1], *([0, 0] for _ in rest)])[:, : 2 * length]
    x = ops.reshape(x, (-1, length, 2, *rest))
    return x[:, :, 0], x[:, :, 1]


def upsample(x: Tensor, pooled: Row, row: Row, stride: int) -> Tensor:
    """Gives every token the vector of its window, or zeros if that was dropped.

    Args:
        x: [B, T', D], at the positions of `pooled`.
        pooled: after as many poolings as `stride` is a power of two.
        row: before them, T positions.
        stride: tokens in a window.

    >>> row, pooled = Row(ops.ones((1, 8), "int32")), Row(ops.ones((1, 2), "int32"))
    >>> print(np.asarray(upsample(ops.array([[[5], [7]]]), pooled, row, 4))[0, :, 0])
    [5 7 7 7 7 0 0 0]
    """
    length = row.segments.shape[1]
    owners = repeat(pooled.segments, stride, length)  # [B, T]
    mine = ops.equal(owners, row.segments)[..., None]
    return ops.where(mine, repeat(x, stride, length), ops.zeros((), x.dtype))


def repeat(x: Tensor, stride: int, length: int) -> Tensor:
    """Returns x[ceil(t / stride)] for t < `length`, zero past the end."""
    x = ops.repeat(x, stride, axis=1)
    x = ops.pad(x, [[0, 0], [0, length], *([0, 0] for _ in x.shape[2:])])
    return x[:, stride - 1 : stride - 1 + length]


def starts(segments: Tensor) -> Tensor:
    """Marks the first position of every example, bool [B or 1, T].

    >>> print(np.asarray(starts(ops.array([[1, 1, 2, 2, 0]]))))
    [[ True False  True False False]]
    """
    before = ops.pad(segments, [[0, 0], [1, 0]])[:, :-1]
    return ops.logical_and(ops.not_equal(segments, before), segments > 0)


class Alignment:
    """A wider row in which every example starts at a multiple of the stride.

    `align(x) = M x` moves tokens there and `restore(y) = Mᵀ y` moves them back, with a 0/1 matrix
    M, so that gradients are products too.

    Args:
        segments: int32 [B, T].
        windows: the rule for how many positions an example needs.
        stride: power of two.
        max_segments: maximum number of examples in a row; further ones are dropped.
    """

    def __init__(
        self, segments: Tensor, *, windows: PoolingWindows, stride: int, max_segments: int
    ) -> None:
        length = segments.shape[1]
        slack = max(windows.capacity(n, stride) - n for n in range(1, stride + 1))
        self.width = length + (max_segments - 1) * slack
        same = ops.equal(segments[:, :, None], segments[:, None, :])  # [B, T, T]
        sizes = ops.sum(ops.cast(same, "int32"), axis=-1)  # of the example of every token, [B, T]
        capacity = windows.capacity(sizes, stride)
        taken = ops.cumsum(ops.where(starts(segments), capacity, 0), axis=1)
        earlier = ops.tril(ops.ones((length, length), "bool"), -1)
        inside = ops.sum(ops.cast(ops.logical_and(same, earlier), "int32"), axis=-1)
        position = ops.where(segments > 0, taken - capacity + inside, -1)  # of every token, [B, T]
        columns = ops.arange(self.width, dtype="int32")[:, None]
        self.matrix = ops.equal(columns, position[:, None, :])  # M, [B, width, T]

    def align(self, x: Tensor) -> Tensor:
        """[B, T, D] → [B, width, D]."""
        return ops.einsum("bst,btd->bsd", ops.cast(self.matrix, x.dtype), x)

    def align_row(self, row: Row) -> Row:
        """Moves segments and types of the tokens; 0 where there is none."""
        aligned = (
            None if x is None else ops.sum(ops.where(self.matrix, x[:, None, :], 0), axis=-1)
            for x in row
        )
        return Row(*aligned)

    def restore(self, x: Tensor) -> Tensor:
        """[B, width, D] → [B, T, D]."""
        return ops.einsum("bst,bsd->btd", ops.cast(self.matrix, x.dtype), x)
