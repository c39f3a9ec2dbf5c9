"""Two processes train as one does, and one or four go on where two stopped."""

import json

import pytest

from tests.mesh.process import python


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    said = python("tests.mesh.loopback", str(tmp_path_factory.mktemp("runs")), devices=1)
    return json.loads(said.splitlines()[-1])


pytestmark = pytest.mark.slow


def test_every_process_ends_well(runs):
    assert {name: run["codes"] for name, run in runs.items()} == {
        "one": [0],
        "two": [0, 0],
        "two_then_one": [0],
        "two_then_four": [0, 0, 0, 0],
    }


@pytest.mark.parametrize("name", ["two_then_one", "two_then_four"])
def test_the_next_unseen_example_follows(runs, name):
    assert runs[name]["step"] == runs["one"]["step"]
    assert runs[name]["batches"] == runs["one"]["batches"]


@pytest.mark.parametrize("name", ["two", "two_then_one", "two_then_four"])
def test_losses_are_those_of_one_process(runs, name):
    for step, loss in runs[name]["losses"].items():
        assert loss == pytest.approx(runs["one"]["losses"][step], abs=1e-5)
