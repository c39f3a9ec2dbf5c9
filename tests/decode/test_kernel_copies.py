"""Copies of kernels: the product of rounded weights, whatever the rows, in layers and in search."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from lm.decode.compiled import CompiledByShape
from lm.decode.kernel_copies import KernelCopies, copied_bytes, kernels
from lm.decode.model_inputs import encoder_prompts
from lm.decode.sampling import Sampling, greedy
from lm.engines.barrier import barrier
from lm.nn.embedding import TokenEmbedding
from lm.nn.kernels import Dense
from tests import built
from tests.engine import assert_near, numpy

WIDTHS = ["bfloat16", "int8"]


def identity(*tensors):
    return tensors


def rounding(rows, width):
    """Returns the rows [F, D] as a width holds them."""
    if width == "bfloat16":
        return np.asarray(ops.cast(ops.cast(rows, width), "float32"))
    scale = np.abs(rows).max(1, keepdims=True) / np.float32(127)
    return np.rint(rows / np.where(scale == 0, 1, scale)) * scale


class Two(keras.Model):
    """A dense layer and a table."""

    def __init__(self):
        super().__init__()
        self.dense = Dense(5, name="dense")
        self.embedding = TokenEmbedding(vocabulary_size=7, hidden_dim=6, name="embedding")
        draw = np.random.default_rng(0)
        self.dense.build((None, 6))
        self.embedding.build((None,))
        kernel = draw.standard_normal((6, 5), "float32")
        kernel[:, 2] = 0  # a row of zeros has no scale
        self.dense.kernel.assign(kernel)
        self.dense.bias.assign(draw.standard_normal(5))
        self.embedding.table.assign(draw.standard_normal((7, 6)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 4), (70, 1)])
def test_a_product_is_that_of_the_rounded_kernel(width, shape):
    model = Two()
    x = np.random.default_rng(1).standard_normal((*shape, 6)).astype("float32")
    kernel, table = (numpy(v) for v in (model.dense.kernel, model.embedding.table))
    copies = KernelCopies(model, width, identity)
    with copies.given():
        y, logits = model.dense(x), model.embedding.logits(x[:, 0])
        matrix = model.embedding.matrix()
    assert_near(y, x @ rounding(kernel.T, width).T + numpy(model.dense.bias), 1e-5)
    assert_near(logits, x[:, 0] @ rounding(table, width).T, 1e-5)
    assert_near(matrix, rounding(table, width), 1e-6)
    assert_near(model.dense(x), x @ kernel + numpy(model.dense.bias), 1e-5)  # none are left


def test_copies_take_the_bytes_that_were_announced():
    model = Two()
    assert [copied_bytes(model, width) for width in WIDTHS] == [2 * 72, 72]
    made = KernelCopies(model, "int8", identity).variables
    assert sum(np.prod(v.shape) for v in made if v.dtype == "int8") == 72


def quick(model, search, copies=None):
    """Returns the search without compiling it."""

    def run(inputs):
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        with copies.given() if copies else contextlib.nullcontext():
            return search(model, inputs)

    return run


@pytest.mark.parametrize("compiled", [quick, pytest.param(CompiledByShape, marks=pytest.mark.slow)])
def test_a_search_with_int8_equals_one_over_the_rounded_model(compiled):
    model = built.fresh_model(built.find(built.MODELS, "t5_1_1"))
    search = Sampling(sampler=greedy, max_new_tokens=4, eos_id=-1)
    inputs = encoder_prompts([[5, 9, 12], [7, 3]], 4)
    inputs |= {"rows": np.arange(2, dtype="int32"), "seed": np.array(0, "int32")}
    between = identity if compiled is quick else barrier
    found = compiled(model, search, KernelCopies(model, "int8", between))(inputs)
    for variable in [k.variable for k in kernels(model) if not k.is_table]:
        variable.assign(rounding(numpy(variable).T, "int8").T)
    expected = compiled(model, search)(inputs)
    np.testing.assert_array_equal(numpy(found.tokens), numpy(expected.tokens))
    np.testing.assert_allclose(numpy(found.log_probs), numpy(expected.log_probs), rtol=1e-4)
