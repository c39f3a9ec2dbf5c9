"""The gated attention unit and its relative biases against NumPy and against its limits."""

import numpy as np
import pytest

from lm.config import load
from lm.errors import ConfigError
from lm.nn import gau
from lm.nn.branch import Context
from lm.nn.gau import GatedAttentionUnit, GatedUnit
from lm.nn.norm import ScaleNorm
from lm.nn.position import RotaryPosition, ScaledSinusoidalPosition
from lm.nn.relative import RotaryBias, ToeplitzBias
from tests.built import noise
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

B, T, F, K, N = 2, 7, 24, 6, 32
X = noise(1, B, T)
POSITIONS = np.array([range(T), [0, 1, 2, 0, 1, 2, 3]], "int32")
ROW_POSITIONS = np.arange(T, dtype="int32")[None]
MASK = np.tril(np.ones((B, T, T), bool))
CONTEXT = Context(positions=POSITIONS, mask=MASK[:, None])
ROTARY = part(RotaryPosition)
UNIT = part(GatedUnit, intermediate_dim=F, head_dim=K, rotary=ROTARY)
TOEPLITZ = part(ToeplitzBias, max_sequence_length=N)


def made(kernel=gau.squared_relu_kernel, unit=UNIT, **arguments):
    layer = GatedAttentionUnit(
        unit=unit, kernel=kernel, max_sequence_length=N, name="gau", **arguments
    )
    filled(layer, X, CONTEXT)
    return layer


def silu(x):
    return x * reference.sigmoid(x)


def split(x, w, positions):
    """u, v and the rotated heads of z."""
    u, v, z = (silu(x @ w[f"{n}/kernel"] + w[f"{n}/bias"]) for n in ("gate", "value", "base"))
    scale, offset = w["unit/head_scale"], w["unit/head_bias"]
    heads = [z * g + b for g, b in zip(scale, offset, strict=True)]
    return u, v, [reference.rotate(h[:, None], positions)[:, 0] for h in heads]


def expected(x, w, positions, mask, bias, kernel):
    u, v, (q, k) = split(x.astype("float64"), w, positions)
    a = kernel(q @ k.swapaxes(1, 2), bias, mask)
    return (u * (a @ v)) @ w["output/kernel"] + w["output/bias"]


def squared_relu(logits, bias, mask, n=N):
    return np.maximum(logits / n + bias, 0) ** 2 * mask


def softmax(logits, bias, mask):
    return reference.softmax(np.where(mask, logits / K**0.5 + bias, -np.inf))


KERNELS = [(gau.squared_relu_kernel, squared_relu), (gau.softmax_kernel, softmax)]


@pytest.mark.parametrize("kernel", KERNELS, ids=["squared_relu", "softmax"])
def test_gated_attention_unit(kernel):
    layer = made(kernel[0], position_bias=TOEPLITZ)
    w = reference.weights(layer)
    distance = ROW_POSITIONS - ROW_POSITIONS.T
    bias = w["toeplitz_bias/embeddings"][distance + N - 1]
    wanted = expected(X, w, POSITIONS, MASK, bias, kernel[1])
    assert_near(layer(X, CONTEXT)[0], wanted, 1e-6)


def test_looking_at_itself_alone_it_is_a_gated_feed_forward():
    """A = I: y = (φ(x W_u) ⊙ φ(x W_v)) W_o."""
    layer = made(gau.softmax_kernel)
    context = Context(positions=POSITIONS, mask=np.repeat(np.eye(T, dtype=bool)[None, None], B, 0))
    u, v, _ = split(X, w := reference.weights(layer), POSITIONS)
    wanted = (u * v) @ w["output/kernel"] + w["output/bias"]
    assert_near(layer(X, context)[0], wanted, 1e-6)


def test_an_open_gate_leaves_attention():
    layer = made(unit=part(GatedUnit, intermediate_dim=F, head_dim=K, activation=lambda x: x))
    layer.unit.gate.kernel.assign(0 * layer.unit.gate.kernel)
    layer.unit.gate.bias.assign(0 * layer.unit.gate.bias + 1)
    w = reference.weights(layer)
    v, z = (X @ w[f"{n}/kernel"] + w[f"{n}/bias"] for n in ("value", "base"))
    q, k = (z * g + b for g, b in zip(w["unit/head_scale"], w["unit/head_bias"], strict=True))
    attended = squared_relu(q @ k.swapaxes(1, 2), 0, MASK) @ v
    assert_near(layer(X, CONTEXT)[0], attended @ w["output/kernel"] + w["output/bias"], 1e-6)


def test_twice_the_length_quarters_every_weight():
    query, key = noise(2, B, T), noise(3, B, T)
    once, twice = (numpy(gau.squared_relu_kernel(query, key, 0.0, MASK, n)) for n in (N, 2 * N))
    assert_near(twice, once / 4, 1e-7)
    assert once.min() >= 0 and not once[~MASK].any()


def test_scale_norm_has_one_number():
    layer = ScaleNorm(epsilon=0.1, name="norm")
    layer(X)
    layer.scale.assign(3.0)
    assert layer.count_params() == 1
    assert_near(layer(X), reference.rms_norm(X.astype("float64"), 3.0, 0.1), 1e-6)


def test_scaled_sinusoidal_positions_begin_small():
    layer = ScaledSinusoidalPosition(name="position")
    wanted = X + reference.sinusoid(POSITIONS, WIDTH) / WIDTH**0.5
    assert_near(layer(X, POSITIONS), wanted, 1e-6)
    assert layer.count_params() == 1


def test_rotary_bias_is_the_product_of_two_turned_vectors():
    layer = RotaryBias(dim=K, name="bias")
    filled(layer, ROW_POSITIONS, ROW_POSITIONS)
    w = reference.weights(layer)
    rotated = [
        reference.rotate(np.tile(w[f"bias/{side}_bias"], (1, 1, T, 1)), ROW_POSITIONS)[0, 0]
        for side in ("query", "key")
    ]
    bias = layer(ROW_POSITIONS, ROW_POSITIONS)
    assert_near(bias[0, 0], rotated[0] @ rotated[1].T, 1e-6)
    assert_near(layer(ROW_POSITIONS + 900, ROW_POSITIONS + 900), bias, 1e-4)


def test_a_row_longer_than_the_table_is_refused():
    layer = made(position_bias=TOEPLITZ)
    long = noise(4, 1, N + 1)
    with pytest.raises(ValueError, match=r"33 positions do not fit ToeplitzBias.max_sequence_len"):
        layer(long, Context(positions=np.zeros((1, N + 1), "int32"), mask=np.ones((1, 1, 33, 33))))


def test_a_bias_of_the_stack_is_refused():
    context = CONTEXT._replace(position_bias=np.zeros((1, 2, T, T), "float32"))
    with pytest.raises(
        ValueError, match=r"bind GatedAttentionUnit.position_bias and Stack.position_bias = None"
    ):
        made()(X, context)


WRONG = [
    ("gau", "HEAD_DIM = 7", r"GatedUnit.head_dim = 7 is odd"),
    ("gau", "INTERMEDIATE_DIM = 0", r"GatedUnit.intermediate_dim takes an integer from 1 on"),
    ("gau", "MAX_SEQUENCE_LENGTH = -1", r"GatedAttentionUnit.max_sequence_length takes an integer"),
    ("gau", "KERNEL = @gau.sigmoid", r"sigmoid"),
    ("flash", "CHUNK_SIZE = 0", r"takes an integer from 1 on, not 0, set in --gin.CHUNK_SIZE"),
    ("flash", "CHUNK_SIZE = 2.5", r"takes an integer from 1 on, not 2.5, set in --gin.CHUNK_SIZE"),
    ("flash", "relative.ToeplitzBias.max_sequence_length = 128", r"256 positions do not fit Toep"),
    ("flash", "NORMALIZER = @flash.tokens", r"tokens"),
]


@pytest.mark.parametrize(("family", "binding", "message"), WRONG, ids=lambda x: x[:24])
def test_what_does_not_fit_is_refused_before_anything_is_built(family, binding, message):
    with pytest.raises(ConfigError, match=message):
        load([f"models/{family}/base.gin"], [binding], roots=["MODEL"]).value("MODEL")()
