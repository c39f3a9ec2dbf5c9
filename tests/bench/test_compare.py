"""`lm bench --against`: a peer with the same weights, in turn, and what we say without it."""

import json
import sys

import numpy as np
import pytest

from lm.bench import compare, measure
from lm.cli.main import main

TINY = ["HIDDEN_DIM=32", "INTERMEDIATE_DIM=64", "NUM_LAYERS=2", "NUM_HEADS=2", "VOCABULARY_SIZE=64"]
SIZES = ["--batch_size=2", "--length=16", "--new_tokens=4", "--windows=1", "--json"]


def flags(name):
    return [f"--gin_file=bench/{name}.gin", *(f"--gin.{binding}" for binding in TINY), *SIZES]


class Twin:
    """A peer that repeats what we found, and says what it was told."""

    def __init__(self):
        self.sizes = None

    def build(self, sizes):
        self.sizes = sizes

    def generation(self, model, prompts, *, new_tokens, beams):
        return lambda: np.full((2, new_tokens), beams, "int32")

    def training(self, model, batch, *, compiled):
        return lambda: None


@pytest.mark.parametrize(
    ("name", "model_type", "norm"),
    [
        ("gpt2", "gpt2", "transformer.h.1.ln_2.weight"),
        ("t5_1_1", "t5_1_1", "decoder.block.1.layer.2.layer_norm.weight"),
    ],
)
def test_a_peer_is_told_sizes_and_weights(monkeypatch, capsys, name, model_type, norm):
    twin = Twin()
    monkeypatch.setattr(compare, "load", lambda against: twin)
    monkeypatch.setattr(compare, "PAUSE", 0.0)
    assert main(["bench", *flags(name), "--against=transformers"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_type"] == model_type == twin.sizes.model_type
    assert (twin.sizes.num_layers, twin.sizes.num_heads) == (2, 2)
    assert twin.sizes.weights[norm].shape == (32,)
    assert set(found["training"]["ratios"]) == {"eager", "compiled"}
    assert found["generation"]["same_tokens"]["float32"] <= 1.0


def test_windows_alternate_and_the_ratio_is_of_medians(monkeypatch):
    order = []
    clock = iter([0, 1, 1, 2, 2, 3, 3, 7, 7, 8, 8, 12])
    monkeypatch.setattr(compare.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    calls = {name: lambda name=name: order.append(name) for name in ("ours", "theirs")}
    speeds = compare.alternate(calls, tokens=8, windows=2)
    assert order == ["ours", "theirs"] * 3
    assert compare._ratios(speeds)["ratios"] == {"theirs": 4.0}


def test_a_missing_extra_is_one_line(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "lm.bench.against_ctranslate2", raising=False)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", *flags("gpt2"), "--against=ctranslate2"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "extra `parity`" in error


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt2", "t5_1_1"])
@pytest.mark.parametrize("against", ["transformers", "ctranslate2"])
def test_a_peer_with_the_same_weights_writes_the_same(capsys, name, against):
    assert main(["bench", *flags(name), f"--against={against}", "--only=generation"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["generation"]["same_tokens"]["float32"] == 1.0
