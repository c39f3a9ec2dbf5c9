"""`lm self-train`: which commands run in which order, what is done twice, and when it ends."""

import pytest

from lm.errors import UserError
from lm.experiments import command, self_training
from lm.experiments.self_training import PREDICTIONS, rounds_without_gain, self_train

SCORES = [50.0, 70.0, 60.0, 70.0, 90.0]


@pytest.fixture
def commands(monkeypatch):
    """The commands that ran: `lm predict` writes a line, `lm train` nothing."""
    found = []

    def run(*words, what):
        found.append([word.replace("--", "", 1) for word in words])
        output = next((word for word in words if word.startswith("--output=")), None)
        if output:
            with open(output.removeprefix("--output="), "w") as file:
                file.write(what)

    def metrics(run):
        run.parent.mkdir(exist_ok=True)
        return {"score": SCORES[int(run.parent.name.removeprefix("round_"))]}

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(self_training, "metrics", metrics)
    return found


def train(workdir, **settings):
    for number in range(5):  # what `lm train` makes
        (workdir / f"round_{number}").mkdir(exist_ok=True, parents=True)
    given = {"flags": ["--gin_file=a.gin"], "unlabelled": "texts.txt", "rounds": 5, "patience": 9}
    return self_train(workdir=workdir, **given | settings)


def test_each_round_trains_on_the_predictions_of_the_one_before(commands, tmp_path):
    found = train(tmp_path, rounds=2)
    assert [row["score"] for row in found] == SCORES[:2]
    verbs = [(words[0], words[-1] if words[0] == "train" else words[1]) for words in commands]
    runs = [f"workdir={tmp_path}/round_{number}/run" for number in (0, 1)]
    assert verbs == [(verb, run) for run in runs for verb in ("train", "predict")]
    assert not any("PREDICTIONS" in word for word in commands[0])
    assert f"gin_bindings=PREDICTIONS = '{tmp_path}/round_0/{PREDICTIONS}'" in commands[2]
    assert "checkpoint=best" in commands[1]


def test_finished_rounds_are_skipped_and_others_refused(commands, tmp_path):
    first = train(tmp_path, rounds=2)
    assert train(tmp_path, rounds=3)[:2] == first
    assert len(commands) == 6
    with pytest.raises(UserError, match=r"settings\.json: started with other unlabelled"):
        train(tmp_path, unlabelled="others.txt")


def test_rounds_without_a_better_score_end_it(commands, tmp_path):
    assert [row["round"] for row in train(tmp_path, patience=2)] == [0, 1, 2, 3]
    assert rounds_without_gain([1.0, 1.0]) == 1
