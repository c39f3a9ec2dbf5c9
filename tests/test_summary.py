"""`summarise` makes layers that repeat once, and counts what the whole model has."""

import json
from typing import Any

import keras
import pytest

from lm.cli.main import main
from lm.config import load, macros
from lm.engines import memory
from lm.engines.flops import matmul_flops
from lm.nn.sparse_table import learned
from lm.summary import summarise, token_row
from tests.golden.trees import GIN, PARTS

FAMILIES = sorted(path.parent.name for path in GIN.glob("models/*/architecture.gin"))
LENGTH = 16
SPEC = keras.KerasTensor((1, LENGTH), "int32")
SPECS = {"encoder_input_tokens": SPEC, "decoder_input_tokens": SPEC}
TINY = {
    "BLOCK_SIZES": [2, 3, 1],
    "HEAD_DIM": 8,
    "HIDDEN_DIM": 16,
    "INTERMEDIATE_DIM": 24,
    "NUM_DECODER_LAYERS": 2,
    "NUM_EXPERTS": 4,
    "NUM_HEADS": 2,
    "NUM_LAYERS": 2,
    "VOCABULARY_SIZE": 40,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_what_the_whole_model_has(family):
    model = tiny(family).value("MODEL")
    counted = summarise(model, length=LENGTH)
    variables, flops = whole(model)
    assert list(counted.shapes.items()) == [(v.path, tuple(v.shape)) for v in variables]
    assert counted.weights_bytes == memory.size(variables)
    assert counted.flops_per_token == flops // LENGTH


UNSAID = ("--gin.TASK_FEATURE_LENGTHS={}", "--gin.MAX_SEQUENCE_LENGTH=512")


@pytest.mark.parametrize(("given", "length"), [((), 128), (UNSAID, 512)])
def test_counts_rows_as_long_as_the_run_s(capsys, given, length):
    assert main(["summary", "--json", "--gin_file=papers/pretraining/mlm.gin", *given]) == 0
    assert json.loads(capsys.readouterr().out)["length"] == length


@pytest.mark.parametrize("name", ["adafactor", "adam_noam"])
def test_memory_is_that_of_the_whole_model(name):
    config = tiny("t5", f"optim/{name}.gin")
    model, optimizer = config.value("MODEL"), config.value("OPTIMIZER")
    needed = memory.need(model=model, optimizer=optimizer, features=SPECS)
    variables, _ = whole(model)
    made = optimizer()
    with keras.StatelessScope(initialize_variables=False):
        made.rule._var_key = id
        made.rule.build(variables)
    assert needed.gradients == memory.size(variables)
    assert needed.slots == memory.size(made.slots)


def tiny(family: str, *optimizer: str) -> Any:
    """Returns the configuration of a model with every number small, but layers that repeat."""
    sizes = (path for path in GIN.glob(f"models/{family}/*.gin") if path.stem not in PARTS)
    file = f"models/{family}/{min(sizes).name}"
    shipped = load([file], [], roots=["MODEL"])
    used = {name for binding in shipped.bindings for name in macros.used(binding.value)}
    bindings = [f"{macro} = {value}" for macro, value in TINY.items() if macro in used]
    roots = ["MODEL", "OPTIMIZER"] if optimizer else ["MODEL"]
    return load([file, *optimizer], bindings, roots=roots)


def whole(model: Any) -> tuple[list[Any], int]:
    """Makes every layer of a model; returns the trainable variables and the operations."""
    with keras.StatelessScope(initialize_variables=False):
        made = model()
        flops = matmul_flops(made, getattr(made, "row", token_row)(LENGTH))
    return learned(made), flops
