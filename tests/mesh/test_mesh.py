"""Eight devices compute what one does, and hold what the rules say; see worker.py."""

import functools
import json
import math
from pathlib import Path

import pytest

from lm.mesh.axes import split
from tests.mesh.families import PAIRS, SHORTEST
from tests.mesh.process import python

FAST = {(SHORTEST, "data_model")}
LATER = pytest.mark.slow
PLACES = {
    "data": {},
    "data_model": dict.fromkeys(("vocab", "mlp", "expert_mlp", "heads", "joined_kv"), "model"),
    "data_sharded": {"embed": "data"},
    "data_expert": {"expert": "expert"},
}
PLACES["data_expert_model"] = PLACES["data_model"] | PLACES["data_expert"]
CASES = [pytest.param(*pair, marks=[LATER] * (pair not in FAST)) for pair in PAIRS]


@functools.cache
def found(is_fast: bool, folder: Path) -> dict:
    """One process for the fast pairs, one for all the others."""
    file = folder / f"mesh-{is_fast}.json"
    asked = [f"{name}:{mesh}" for name, mesh in PAIRS if ((name, mesh) in FAST) == is_fast]
    python("tests.mesh.worker", str(file), *asked)
    return json.loads(file.read_text())


@pytest.fixture
def made(tmp_path_factory, name, mesh):
    pairs = found((name, mesh) in FAST, tmp_path_factory.getbasetemp())
    return pairs[f"{name}:{mesh}"]


@pytest.mark.parametrize(("name", "mesh"), CASES)
def test_loss_and_gradients_equal_those_of_one_device(made, name, mesh):
    difference = made["difference"]
    assert difference["loss"] <= 1e-5
    assert difference["evaluated"] <= 1e-5
    assert difference["gradients"] <= 1e-5, difference["worst"]


@pytest.mark.parametrize(("name", "mesh"), CASES)
def test_every_variable_and_slot_lies_as_the_rules_say(made, name, mesh):
    # A slot is named after its weight, and lies where that does.
    owner = {f"sgd/{path.replace('/', '_')}_momentum": path for path in made["shards"]}
    expected = {
        path: on_each(made["axes"].get(owner.get(path, path)), shape, made["shape"], mesh)
        for path, (shape, _) in made["shards"].items()
    }
    assert {path: shard for path, (_, shard) in made["shards"].items()} == expected
    parted = sum(shape != shard for shape, shard in made["shards"].values())
    assert (parted > 0) == (mesh != "data")


def on_each(
    axes: list[str] | None, shape: list[int], sizes: dict[str, int], mesh: str
) -> list[int]:
    """Returns the shape of a weight on one device."""
    places = split(axes or ["unmodeled"] * len(shape), list(PLACES[mesh].items()))
    return [n // (sizes[p] if p else 1) for n, p in zip(shape, places, strict=True)]


@pytest.mark.parametrize(("name", "mesh"), CASES)
def test_the_compiled_step_communicates_as_its_layout_asks(made, name, mesh):
    counts = made["collectives"]
    assert counts["all-reduce"] >= 1
    convolves = any(path.endswith("/taps") for path in made["shards"])
    if mesh == "data_model" and not convolves:
        # What is split stays split, but for convolutions along the length: no weight is gathered.
        assert counts.get("all-gather", 0) == 0
    if mesh == "data":
        assert counts["all-reduce"] == 1


@pytest.mark.parametrize(("name", "mesh"), CASES)
def test_a_device_holds_its_share_of_the_state(made, name, mesh):
    whole = sum(math.prod(shape) for shape, _ in made["shards"].values())
    share = sum(math.prod(shard) for _, shard in made["shards"].values())
    assert made["bytes"] == pytest.approx(made["one"] * share / whole, rel=0.02)


@pytest.mark.parametrize(("name", "mesh"), [case for case in CASES if case.values[0] == SHORTEST])
def test_the_summary_foretells_what_a_device_holds(made, name, mesh):
    predicted = made["foretold"]
    assert predicted["devices"] == 8
    state = predicted["weights"] + predicted["slots"] + predicted["carry"]
    assert state <= made["bytes"] <= state + 300  # the meter of the step
    # Compiled from shapes alone and with all arrays there, the step is one.
    assert {name: predicted[name] for name in made["analysed"]} == made["analysed"]
