"""Mixed-chunk attention against NumPy, packed or not, and against its limits."""

import numpy as np
import pytest

from lm.nn import flash, gau, masks
from lm.nn.branch import Context
from lm.nn.flash import MixedChunkAttention
from lm.nn.relative import ToeplitzBias
from tests.built import noise
from tests.catalogue import part
from tests.engine import assert_near, filled, numpy, quick
from tests.nn import reference
from tests.nn.test_gau import UNIT, split, squared_relu

C, T = 4, 30
X = noise(1, 1, T)
EXAMPLES = [9, 1, 14, 2, 4]
SEGMENTS = np.repeat(range(1, 6), EXAMPLES)[None].astype("int32")
POSITIONS = np.concatenate([np.arange(n) for n in EXAMPLES])[None].astype("int32")
MASKS = {"causal": masks.causal, "bidirectional": masks.bidirectional}
NORMALIZERS = {"tokens_read": flash.tokens_read, "one_chunk": flash.one_chunk}


def made(mask, normalizer=flash.tokens_read, chunk_size=C, **arguments):
    layer = MixedChunkAttention(
        unit=UNIT,
        kernel=gau.squared_relu_kernel,
        chunk_size=chunk_size,
        mask=mask,
        normalizer=normalizer,
        position_bias=part(ToeplitzBias, max_sequence_length=chunk_size),
        name="flash",
        **arguments,
    )
    filled(layer, X, Context(positions=POSITIONS, segments=SEGMENTS))
    return layer


def expected(x, w, kind, normalizer):
    """One example [1, T, D] of its own, all pairs at once: the equations of the paper."""
    n = x.shape[1]
    position = np.arange(n)
    u, v, (q, k, linear_q, linear_k) = split(x.astype("float64"), w, position[None])
    chunk = position // C
    near = chunk[:, None] == chunk
    bias = w["toeplitz_bias/embeddings"][
        np.clip(position - position[:, None] + C - 1, 0, 2 * C - 2)
    ]
    if kind == "causal":
        near &= position[:, None] >= position
        read = chunk[:, None] > chunk
        count = np.maximum(chunk * C, 1)
    else:
        read, count = np.ones((n, n), bool), np.full(n, n)
    count = count if normalizer == "tokens_read" else C
    a = squared_relu(q @ k.swapaxes(1, 2), bias, near, C)
    a += linear_q @ linear_k.swapaxes(1, 2) * read / np.reshape(count, (-1, 1))
    return (u * (a @ v)) @ w["output/kernel"] + w["output/bias"]


CASES = [("causal", "tokens_read"), ("causal", "one_chunk"), ("bidirectional", "tokens_read")]


@pytest.mark.parametrize(("kind", "normalizer"), CASES)
def test_one_example(kind, normalizer):
    layer = made(MASKS[kind], NORMALIZERS[normalizer])
    position = np.arange(T, dtype="int32")[None]
    wanted = expected(X, reference.weights(layer), kind, normalizer)
    assert_near(layer(X, Context(positions=position))[0], wanted, 1e-6)
    ones = np.ones((1, T), "int32")
    assert_near(layer(X, Context(positions=position, segments=ones))[0], wanted, 1e-6)


@pytest.mark.parametrize(("kind", "normalizer"), CASES)
def test_examples_that_start_anywhere_in_a_row(kind, normalizer):
    layer = made(MASKS[kind], NORMALIZERS[normalizer])
    y = layer(X, Context(positions=POSITIONS, segments=SEGMENTS))[0]
    w, cuts = reference.weights(layer), np.cumsum(EXAMPLES)[:-1]
    parts = [expected(x, w, kind, normalizer) for x in np.split(X, cuts, axis=1)]
    assert_near(y, np.concatenate(parts, axis=1), 1e-6)


@pytest.mark.parametrize("kind", MASKS)
def test_a_row_of_one_chunk_without_its_linear_part_is_a_gated_attention_unit(kind):
    layer, position = made(MASKS[kind], chunk_size=T), np.arange(T, dtype="int32")[None]
    unit = gau.GatedAttentionUnit(
        unit=UNIT,
        kernel=gau.squared_relu_kernel,
        max_sequence_length=T,
        position_bias=part(ToeplitzBias, max_sequence_length=T),
        name="gau",
    )
    context = Context(positions=position, mask=numpy(MASKS[kind](position, position))[:, None])
    unit(X, context)
    scale, offset = (np.array(numpy(v)) for v in (layer.unit.scale, layer.unit.offset))
    scale[2:], offset[2:] = 0, 0
    layer.unit.scale.assign(scale)
    layer.unit.offset.assign(offset)
    theirs = {v.path.split("/", 1)[1]: numpy(v) for v in layer.variables}
    for variable in unit.variables:
        value = theirs[variable.path.split("/", 1)[1]]
        variable.assign(value[:2] if "/head_" in variable.path else value)
    assert_near(layer(X, context)[0], unit(X, context)[0], 1e-6)


def test_a_later_token_of_the_own_chunk_or_of_another_changes_nothing():
    layer, position = made(masks.causal), np.arange(T, dtype="int32")[None]
    layer.position_bias.table.assign(
        np.ones(2 * C - 1)
    )  # opens the kernel: whatever may be seen is seen
    run = quick(lambda x: layer(x, Context(positions=position))[0])
    y = numpy(run(X))
    for at in (C - 1, C, C + 1, 3 * C - 1, 3 * C):
        other = X.copy()
        other[:, at] += 1
        z = numpy(run(other))
        np.testing.assert_array_equal(z[:, :at], y[:, :at])
        assert (np.abs(z[:, at:] - y[:, at:]).max(-1) > 1e-6).all()


@pytest.mark.parametrize(
    "splits",
    [
        [3, 2, 9, 1, 15],
        *(pytest.param(x, marks=pytest.mark.slow) for x in ([T], [1] * 6 + [24], [C, 2 * C, 18])),
    ],
)
def test_a_state_goes_on_from_any_place(splits):
    layer, position = made(masks.causal), np.arange(T, dtype="int32")[None]
    whole = numpy(layer(X, Context(positions=position))[0])
    goes_on = quick(lambda x, context, state: layer(x, context, state=state))
    state, first = layer.initial_state(1, T), 0
    sizes = [leaf.shape for leaf in state]
    for count in splits:
        new = slice(first, first + count)
        context = Context(
            positions=position[:, new],
            index=np.array([first], "int32"),
            carried=np.ones(1, "int32"),
        )
        y, state = goes_on(X[:, new], context, state)
        assert_near(y, whole[:, new], 1e-6)
        first += count
    assert [leaf.shape for leaf in state] == sizes


def test_a_bidirectional_branch_has_no_state():
    with pytest.raises(ValueError, match=r"MixedChunkAttention.mask = @masks.causal"):
        made(masks.bidirectional).initial_state(1, T)


def test_normalised_by_the_tokens_read_the_linear_part_does_not_grow():
    """Of values that are all 1 and products that are all p, any length makes p of it."""
    count = np.array([[0, C, 100 * C]], "int32")
    assert numpy(flash.tokens_read(count, C)).tolist() == [[1, C, 100 * C]]
    assert numpy(flash.one_chunk(count, C)).tolist() == [[C, C, C]]
