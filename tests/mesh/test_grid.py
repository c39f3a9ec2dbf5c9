"""Data x model over two processes, whichever axis lies across them: as one device does."""

import json

import pytest

from tests.mesh.process import python

pytestmark = pytest.mark.slow
HALF, END = 3, 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    said = python("tests.mesh.grid", str(tmp_path_factory.mktemp("grid")), devices=1)
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("name", ["inside", "across"])
def test_two_processes_train_and_one_goes_on_as_one_device_would(runs, name):
    assert (runs[name]["codes"], runs[name]["step"]) == ([0, 0], HALF)
    then = runs[f"{name}_then_one"]
    assert (then["codes"], then["step"]) == ([0], END)
    assert then["losses"].keys() == runs["one"]["losses"].keys()
    assert f"resumed from step {HALF}" in then["log"]
    for step, loss in then["losses"].items():
        assert loss == pytest.approx(runs["one"]["losses"][step], abs=1e-5)


def test_a_state_split_over_processes_goes_back(runs):
    found = runs["back"]
    assert (found["codes"], found["step"]) == ([0, 0], END)
    assert "rolled back to the state of step 0, past these batches" in found["log"]
    # The first update is made again, from the fifth batch.
    assert found["losses"]["5"] > found["losses"]["2"]
