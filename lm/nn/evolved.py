"""The branches specific to the Evolved Transformer; `gin/models/evolved_transformer` combines them.

They follow the release in Tensor2Tensor, not its port to Mesh TensorFlow: no bias on the depthwise
filters, a bias on every dense layer, a norm inside the decoder's feed-forward. Only these choices
give the six published parameter counts.
"""

from typing import ClassVar, NamedTuple

from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.convolution import Convolution, SeparableConvolution, around, behind
from lm.nn.dropout import Dropout
from lm.nn.kernels import Dense
from lm.parts import part, value
from lm.ranges import UnitFloat
from lm.types import Shape, Tensor


@value
def double_heads(*, num_heads: int) -> int:
    """Returns the heads of the decoder's first attention: twice as many, at most 16, never fewer.

    >>> [double_heads(num_heads=n) for n in (4, 8, 12, 32)]
    [8, 16, 16, 32]

    Source: So, Liang, Le 2019 (https://arxiv.org/abs/1901.11117), section 6.
    Departures: Tensor2Tensor takes at least 16 heads whatever the width; the same from 8 heads up.
    """
    return max(min(2 * num_heads, 16), num_heads)


def widened(x: Tensor, width: int) -> Tensor:
    """Returns x with zeros appended to its channels up to `width`."""
    return ops.pad(x, [[0, 0], [0, 0], [0, width - x.shape[-1]]])


@part
class GatedLinearUnit(Branch):
    """`(x W_v + b_v) ⊙ sigmoid(x W_g + b_g)`, D → D.

    Source: Dauphin et al. 2017 (https://arxiv.org/abs/1612.08083), without its convolution; the
    first block of the Evolved Transformer's encoder cell.
    """

    logical_axes: ClassVar = {"(value|gate)/kernel": ("embed", "unmodeled")}

    def build(self, x_shape: Shape) -> None:
        self.value = Dense(x_shape[-1], name="value")
        self.gate = Dense(x_shape[-1], activation="sigmoid", name="gate")

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del context, state
        x = ops.cast(x, self.compute_dtype)
        return self.value(x) * self.gate(x), ()


def dropouts(rate: float) -> tuple[Dropout, Dropout]:
    """Returns the dropout of either half of a sum."""
    return Dropout(rate=rate, name="left_dropout"), Dropout(rate=rate, name="right_dropout")


@part
class EvolvedEncoderConvolution(Branch):
    """`SepConv9(norm(drop(relu(x W + b)) + drop(relu(Conv3(x)))))`, D → 4D and D/2 → D/2 → D.

    The narrower side is padded with zero channels: Conv3's D/2 to 4D before the sum, SepConv9's D/2
    to D. Both convolutions are centred ("same" padding).

    Args:
        norm: factory of the norm over the 4D channels.
        dropout: rate on both halves of the sum.

    Raises:
        LayerError: if asked for a state, that is in a decoder.

    Source: So, Liang, Le 2019 (https://arxiv.org/abs/1901.11117), figure 3; Tensor2Tensor's
    `evolved_transformer_encoder`.
    Departures: Tensor2Tensor sets padding to zero before each convolution; here a neighbour in
    another segment counts as zero. Padding is a segment of its own, so the effect is the same, and
    packed examples are isolated too.
    """

    logical_axes: ClassVar = {
        "left/kernel": ("embed", "mlp"),
        "right/kernel": ("unmodeled", "embed", "unmodeled"),
        "last/taps": ("unmodeled", "mlp", "unmodeled"),
        "last/pointwise/kernel": ("mlp", "unmodeled"),
    }

    def __init__(self, *, norm: Factory, dropout: UnitFloat = 0.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.norm = make(norm, "norm")
        self.left_dropout, self.right_dropout = dropouts(dropout)

    def build(self, x_shape: Shape) -> None:
        width = x_shape[-1]
        self.left = Dense(4 * width, activation="relu", name="left")
        self.right = Convolution(filters=width // 2, name="right")
        self.last = SeparableConvolution(filters=width // 2, name="last")

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del state
        x = ops.cast(x, self.compute_dtype)
        width, segments = x.shape[-1], context.segments
        left = self.left_dropout(self.left(x))  # [B, T, 4D]
        right = self.right_dropout(ops.relu(self.right(around(x, 3, segments))))  # [B, T, D/2]
        hidden = self.norm(left + widened(right, 4 * width))
        return widened(self.last(around(hidden, 9, segments)), width), ()

    def initial_state(self, batch: int, length: int) -> State:
        raise LayerError(
            "EvolvedEncoderConvolution looks ahead and cannot decode: "
            "bind EvolvedDecoderConvolution in the decoder's layers"
        )


class Tails(NamedTuple):
    """The last inputs of the decoder's convolutions: [B, 10, D] and [B, 6, 2D]."""

    outer: Tensor
    inner: Tensor


@part
class EvolvedDecoderConvolution(Branch):
    """`SepConv7(norm(drop(relu(SepConv11(x))) + drop(SepConv7(x))))`, D → 2D and D/2 → D.

    The narrower half is padded with zero channels at its end. All three filters are causal.

    Args:
        norm: factory of the norm over the 2D channels.
        dropout: rate on both halves of the sum.

    State: `Tails`: the last 10 positions of x, which the two outer filters share, and the last 6
    of the normed sum.

    Source: So, Liang, Le 2019 (https://arxiv.org/abs/1901.11117), figure 3; Tensor2Tensor's
    `evolved_transformer_decoder`.
    Departures: filters stop at segment borders; in decoding Tensor2Tensor computes the block again
    over all positions so far, ours only over the tails.
    """

    logical_axes: ClassVar = {
        "(left|right)/taps": ("unmodeled", "embed", "unmodeled"),
        "left/pointwise/kernel": ("embed", "mlp"),
        "right/pointwise/kernel": ("embed", "unmodeled"),
        "last/taps": ("unmodeled", "mlp", "unmodeled"),
        "last/pointwise/kernel": ("mlp", "embed"),
    }

    def __init__(self, *, norm: Factory, dropout: UnitFloat = 0.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.norm = make(norm, "norm")
        self.left_dropout, self.right_dropout = dropouts(dropout)

    def build(self, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        self.left = SeparableConvolution(filters=2 * self.width, name="left")
        self.right = SeparableConvolution(filters=self.width // 2, name="right")
        self.last = SeparableConvolution(filters=self.width, name="last")

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        x = ops.cast(x, self.compute_dtype)
        tails = Tails(None, None) if state is None else state
        near, outer = behind(x, 11, context, tails.outer)
        left = self.left_dropout(ops.relu(self.left(near)))  # [B, T, 2D]
        right = self.right_dropout(self.right(near[:7]))  # [B, T, D/2]
        hidden = self.norm(left + widened(right, 2 * self.width))
        near, inner = behind(hidden, 7, context, tails.inner)
        return self.last(near), () if state is None else Tails(outer, inner)

    def initial_state(self, batch: int, length: int) -> Tails:
        return self.initial_carry(batch)

    def initial_carry(self, batch: int) -> Tails:
        return Tails(
            ops.zeros((batch, 10, self.width), self.compute_dtype),
            ops.zeros((batch, 6, 2 * self.width), self.compute_dtype),
        )
