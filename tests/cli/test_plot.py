"""`lm plot`: the picture, its table, and files that have nothing to plot."""

import json

import pytest

from lm.cli.main import main

ROWS = [
    {"step": 1, "split": "train", "loss": 2.0},
    {"step": 2, "split": "train", "loss": 1.0},
    {"step": 2, "split": "validation", "task": "words", "loss": 1.5, "accuracy": 0.25},
]


def run_folder(path, rows):
    path.mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "metrics.jsonl").write_text(text)
    return str(path)


def test_a_metric_of_two_runs_is_drawn_and_its_last_values_are_printed(tmp_path, capsys):
    runs = [run_folder(tmp_path / name, ROWS) for name in "ab"]
    picture = tmp_path / "accuracy.png"
    assert main(["plot", *runs, "--metric=accuracy", f"--output={picture}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [line.split()[-3:] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        ["words", "2", "0.2500"],
        ["words", "2", "0.2500"],
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "metrics.jsonl has no row that can be read"),
        (ROWS, "--metric=bleu: these runs have no such metric, but accuracy, loss"),
    ],
)
def test_nothing_to_plot_is_an_error(tmp_path, capsys, rows, message):
    folder = run_folder(tmp_path / "a", rows)
    assert main(["plot", folder, "--metric=bleu", f"--output={tmp_path}/a.png"]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
