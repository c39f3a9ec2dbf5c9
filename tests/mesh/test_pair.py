"""Two processes of one run decide alike: when a signal comes, and when an update is skipped."""

import json

import pytest

from tests.mesh.process import python

pytestmark = pytest.mark.slow
SIGNALS = {"term_both": 143, "term_second": 143, "interrupt_first": 130}
END = 24


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    said = python("tests.mesh.pair", str(tmp_path_factory.mktemp("pair")), devices=1)
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_to_any_process_stops_all_at_one_step_with_its_code(runs, name):
    found = runs[name]
    assert found["codes"] == [SIGNALS[name]] * 2
    assert 5 <= found["newest"] < END
    assert found["saves"][0][-1][0] == found["newest"]
    assert f"stopped at step {found['newest']}, saved" in found["logs"][0]


def test_a_signal_during_an_evaluation_stops_all_at_one_batch(runs):
    found = runs["term_evaluation"]
    assert found["codes"] == [143, 143]
    assert (found["newest"], found["evaluated"]) == (5, False)
    first, second = (log.count("evaluated batch") for log in found["logs"])
    assert first == second < 100


@pytest.mark.parametrize(("name", "killed"), [("first_killed", 0), ("second_killed", 1)])
def test_a_process_that_is_left_alone_ends(runs, name, killed):
    found = runs[name]
    assert found["codes"][killed] == -9
    assert found["codes"][1 - killed] in (1, -6)  # JAX may abort it before it has said why
    assert found["newest"] >= 2


def test_the_same_command_goes_on_bit_for_bit(runs):
    assert runs["resumed"]["codes"] == [0, 0]
    assert runs["resumed"]["saves"][0][-1] == runs["whole"]["saves"][0][-1]
    assert runs["resumed"]["logs"][0].count("resumed from step") == 1


@pytest.mark.parametrize(
    "name", ["whole", *SIGNALS, "term_evaluation", "resumed", "back", "stopped"]
)
def test_both_processes_have_the_same_state_at_the_same_steps(runs, name):
    first, second = runs[name]["saves"]
    assert first == second
    assert len(first) >= 2


def test_bad_updates_are_skipped_and_saved_once(runs):
    assert runs["whole"]["codes"] == [0, 0]
    assert runs["whole"]["refused"] == [3, 9, 21]


def test_both_go_back_together(runs):
    assert runs["back"]["codes"] == [0, 0]
    assert "rolled back to the state of step 8" in runs["back"]["logs"][0]
    assert [step for step, _ in runs["back"]["saves"][1]] == [0, 8, 15, 16, END]


def test_both_stop_together(runs):
    assert runs["stopped"]["codes"] == [1, 1]
    assert runs["stopped"]["newest"] == 8
