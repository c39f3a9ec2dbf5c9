"""The Evolved Transformer's cells against NumPy, in Tensor2Tensor's terms: pad, mask, convolve."""

import numpy as np
import pytest

from lm.nn.branch import Context
from lm.nn.evolved import EvolvedDecoderConvolution, EvolvedEncoderConvolution, double_heads
from lm.nn.norm import LayerNorm
from lm.nn.stack_state import Rows
from tests.built import model, noise
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

B, T, S, HEADS = 2, 7, 6, 2
REAL = np.array([[1] * T, [1] * 5 + [0] * 2], "int32")
MEMORY_REAL = np.array([[1] * S, [1] * 4 + [0] * 2], "int32")
NORM = part(LayerNorm, epsilon=1e-6)


def relu(x):
    return np.maximum(x, 0)


def norm(x, w):
    return reference.layer_norm(x, w["scale"], w["bias"], 1e-6)


def dense(x, w):
    return x @ w["kernel"] + w["bias"]


def separable(x, w, before, after):
    """Depthwise over x padded with zeros on both sides, then pointwise; taps from the left."""
    padded, count = np.pad(x, [(0, 0), (before, after), (0, 0)]), x.shape[1]
    shifted = (padded[:, j : j + count] * tap[:, 0] for j, tap in enumerate(w["taps"]))
    return dense(sum(shifted), w["pointwise"])


def widened(x, width):
    return np.pad(x, [(0, 0), (0, 0), (0, width - x.shape[-1])])


def encoder_convolution(x, w, real):
    h, width = x * real, x.shape[-1]
    shifted = np.concatenate(
        [np.pad(h, [(0, 0), (1, 1), (0, 0)])[:, j:][:, :T] for j in range(3)], -1
    )
    right = relu(shifted @ w["right"]["kernel"].reshape(3 * width, -1) + w["right"]["bias"])
    s = norm(relu(dense(h, w["left"])) + widened(right, 4 * width), w["norm"]) * real
    return widened(separable(s, w["last"], 4, 4), width)


def decoder_convolution(x, w, real):
    h, width = x * real, x.shape[-1]
    flipped = {
        name: w[name] | {"taps": w[name]["taps"][::-1]} for name in ("left", "right", "last")
    }
    left = relu(separable(h, flipped["left"], 10, 0))
    right = separable(h, flipped["right"], 6, 0)
    s = norm(left + widened(right, 2 * width), w["norm"]) * real
    return separable(s, flipped["last"], 6, 0)


def tree(layer):
    """Returns the weights of a layer as dictionaries of dictionaries, float64."""
    found = {}
    for variable in layer.trainable_variables:
        *parents, name = variable.path.split(layer.path + "/", 1)[1].split("/")
        at = found
        for step in parents:
            at = at.setdefault(step, {})
        at[name] = np.asarray(variable.value).astype("float64")
    return found


@pytest.mark.parametrize(
    ("factory", "wanted"),
    [
        (EvolvedEncoderConvolution, encoder_convolution),
        (EvolvedDecoderConvolution, decoder_convolution),
    ],
)
def test_convolution_block(factory, wanted):
    layer, x, context = factory(norm=NORM, name="block"), noise(1, B, T), Context(segments=REAL)
    filled(layer, x, context)
    real = REAL[..., None]
    assert_near(numpy(layer(x, context)[0]) * real, wanted(x, tree(layer), real) * real, 1e-6)


def attend(x, memory, w, mask, heads=HEADS):
    flat = {
        f"{name}/{leaf}": v for name, leaves in w["heads"].items() for leaf, v in leaves.items()
    }
    return reference.attention(x, memory, flat, heads, (WIDTH // heads) ** -0.5, mask)


def feed_forward(x, w, activation, inner=lambda x, w: x):
    return dense(inner(activation(dense(x, w["hidden"])), w.get("inner_layer_norm")), w["output"])


def silu(x):
    return x * reference.sigmoid(x)


def cell(x, stack, branches):
    """x + branch(norm(x)) for each, sinusoidal positions before, a norm after."""
    x = x + reference.sinusoid(np.arange(x.shape[1])[None], x.shape[-1])
    for residual, branch in zip(stack.residuals, branches, strict=True):
        w = tree(residual)
        x = x + branch(norm(x, w["before_layer_norm"]), w[residual.branch.name])
    return norm(x, tree(stack)["after_layer_norm"])


def test_encoder_cell():
    stack, x, real = model("evolved_transformer").encoder, noise(2, B, T), REAL[..., None]
    mask = REAL[:, None, :] == REAL[:, :, None]
    wanted = cell(
        x,
        stack,
        [
            lambda h, w: dense(h, w["value"]) * reference.sigmoid(dense(h, w["gate"])),
            lambda h, w: encoder_convolution(h, w, real),
            lambda h, w: attend(h, h, w, mask),
            lambda h, w: feed_forward(h, w, relu),
        ],
    )
    y, _ = stack(x, Rows(segments=REAL))
    assert_near(numpy(y) * real, wanted * real, 1e-6)


def test_decoder_cell():
    stack, x, memory = model("evolved_transformer").decoder, noise(3, B, T), noise(4, B, S)
    causal = np.tril(np.ones((B, T, T), bool))
    seen = np.repeat(MEMORY_REAL[:, None, :] > 0, T, axis=1)
    wanted = cell(
        x,
        stack,
        [
            lambda h, w: (
                attend(h, h, w["branch_self_attention"], causal, 2 * HEADS)
                + attend(h, memory, w["branch_cross_attention"], seen)
            ),
            lambda h, w: decoder_convolution(h, w, np.ones((B, T, 1))),
            lambda h, w: attend(h, h, w, causal),
            lambda h, w: attend(h, memory, w, seen),
            lambda h, w: feed_forward(h, w, silu, norm),
        ],
    )
    ones = np.ones((B, T), "int32")
    y, _ = stack(x, Rows(segments=ones, memory=memory, memory_segments=MEMORY_REAL))
    assert_near(y, wanted, 1e-6)


@pytest.mark.parametrize(
    ("factory", "reach"),
    [(EvolvedEncoderConvolution, (-5, 5)), (EvolvedDecoderConvolution, (0, 16))],
)
def test_reach(factory, reach):
    """A changed position moves the outputs from reach[0] to reach[1] after it, and no others."""
    layer, x, position = factory(norm=NORM, name="block"), noise(5, 1, 40), 20
    filled(layer, x, Context())
    other = x.copy()
    other[:, position] = noise(6, 1)
    moved = numpy(layer(x, Context())[0]) != numpy(layer(other, Context())[0])
    positions = np.flatnonzero(moved.any(-1)[0]) - position
    assert (positions.min(), positions.max()) == reach


@pytest.mark.parametrize("factory", [EvolvedEncoderConvolution, EvolvedDecoderConvolution])
def test_zero_weights_take_the_block_out_of_the_cell(factory):
    layer, x = factory(norm=NORM, name="block"), noise(7, 1, T)
    layer(x, Context())
    for variable in layer.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    assert not numpy(layer(x, Context())[0]).any()


def test_heads_are_doubled_up_to_sixteen():
    heads = [double_heads(num_heads=n) for n in (1, 4, 8, 12, 16, 32)]
    assert heads == [2, 8, 16, 16, 16, 32]


def test_what_looks_ahead_cannot_decode():
    layer = EvolvedEncoderConvolution(norm=NORM, name="block")
    with pytest.raises(ValueError, match="looks ahead and cannot decode: bind EvolvedDecoder"):
        layer.initial_state(1, T)
