"""The figures of `lm bench`: shapes by the kind of model, FLOPs as `lm summary`, sane rates."""

import json

import numpy as np
import pytest

from lm.bench import measure, peak, synthetic
from lm.cli.main import main

TINY = ["HIDDEN_DIM=32", "INTERMEDIATE_DIM=64", "NUM_LAYERS=1", "NUM_HEADS=2"]
FLAGS = [*(f"--gin.{binding}" for binding in TINY), "--gin.VOCABULARY_SIZE=64"]
MODEL = ["--gin_file=models/gpt2/small.gin", *FLAGS]


class Kind:
    """A model as the batches see it."""

    vocabulary_size = 10

    def __init__(self, *sides):
        self.sides = sides


@pytest.mark.parametrize(
    ("sides", "targets_of"),
    [(["decoder"], "decoder"), (["encoder"], "encoder"), (["encoder", "decoder"], "decoder")],
)
def test_a_batch_has_what_the_kind_of_model_reads(sides, targets_of):
    batch = synthetic.model_batch(Kind(*sides), rows=2, inputs=3, targets=5)
    lengths = {"encoder": 3, "decoder": 5}
    for side in sides:
        assert batch[f"{side}_input_tokens"].shape == (2, lengths[side])
        assert batch[f"{side}_positions"].tolist() == [list(range(lengths[side]))] * 2
    found = {name.split("_")[0] for name in batch if name.endswith("target_tokens")}
    assert found == {targets_of}
    tokens = batch[f"{sides[0]}_input_tokens"]
    assert tokens.dtype == np.int32 and tokens.min() >= 3 and tokens.max() < 10


def test_speed_counts_neither_the_first_call_nor_the_mean(monkeypatch):
    clock = iter([0, 10, 10, 11, 11, 13, 13, 17])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    found = measure.speed(lambda: None, tokens=8, windows=3)
    assert found == measure.Speed(4.0, 2.0, 8.0, 10)


class Engine:
    """An engine that does nothing."""

    def step(self, batch):
        assert batch == "batch"

    def logs(self):
        pass


class Slow:
    """Batches that take a second each, by a clock that knows nothing else but half a step."""

    def __init__(self):
        self.wait_seconds = self.now = 0.0

    def __next__(self):
        self.wait_seconds += 1.0
        self.now += 2.0
        return "batch"


def test_waiting_for_data_is_a_share_of_the_step(monkeypatch):
    data = Slow()
    monkeypatch.setattr(measure.time, "perf_counter", lambda: data.now)
    found, waited = measure.train_speed(Engine(), data, tokens=6, windows=2)
    assert waited == 0.5
    assert found == measure.Speed(3.0, 3.0, 3.0, 2.0)
    ticks = iter(range(100))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(ticks))
    repeated = measure.Repeated("batch")
    assert measure.train_speed(Engine(), repeated, tokens=6, windows=1)[1] == 0.0


def test_peak_is_the_best_of_what_is_installed(monkeypatch):
    peaks = peak.matmul_peak("float32", sizes=(16, 32))
    assert set(peaks) <= {"numpy", "tensorflow", "jax"} and min(peaks.values()) > 0
    monkeypatch.setattr(peak, "_installed", lambda library: library == "numpy")
    assert list(peak.matmul_peak("bfloat16", sizes=(16,))) == ["numpy"]


def test_peak_memory_is_a_size():
    assert 2**24 < peak.peak_memory() < 2**45


def test_bench_prints_the_figures_that_summary_counts(monkeypatch, capsys):
    monkeypatch.setattr(measure, "matmul_peak", lambda dtype: {"numpy": 1e9, "jax": 2e9})
    sizes = ["--batch_size=2", "--length=16"]
    assert main(["bench", *MODEL, *sizes, "--windows=2", "--weights=int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["summary", *MODEL, "--length=16", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert found["parameters"] == counted["parameters"]
    assert found["input_wait"] is None
    assert found["flops_per_token"] == counted["flops_per_token"]
    for work in ("training", "scoring", "generation"):
        assert 0 < found[work]["slowest"] <= found[work]["fastest"]
    achieved = 3 * counted["flops_per_token"] * found["training"]["tokens_per_second"]
    assert found["training_flops_per_second"] == pytest.approx(achieved)
    assert found["share_of_matmul_peak"] == pytest.approx(achieved / 2e9)
    assert found["weights"]["float32"]["bytes"] == 0 < found["weights"]["int8"]["bytes"]
    assert 0 <= found["weights"]["int8"]["same_tokens"] <= 1


def test_bench_says_which_macro_is_missing(capsys):
    assert main(["bench", "--batch_size=2"]) == 2
    assert "MODEL" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_of_a_task_says_how_long_it_waits_for_data(monkeypatch, capsys):
    monkeypatch.setattr(measure, "matmul_peak", lambda dtype: {"numpy": 1e9})
    sizes = ["--batch_size=2", "--length=16", "--windows=1"]
    tiny = [f"--gin.{binding}" for binding in TINY]
    assert main(["bench", "--gin_file=quickstart.gin", *tiny, *sizes, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["input_wait"] <= 1
    assert found["lengths"]["targets"] == 16
