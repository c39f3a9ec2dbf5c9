"""`lm eval --suite`: its flags reach the suite."""

import argparse
from types import SimpleNamespace

from lm.cli import run_flags, suites
from lm.inference.zero_shot.suite import SetResult


def test_shots_and_limit_are_handed_on(monkeypatch, tmp_path, capsys):
    asked = []

    def evaluate_suite(suite, **settings):
        asked.append((suite, settings))
        yield SetResult("toy", "", 2, {}, {}, 0, [])

    run = SimpleNamespace(evaluate_suite=evaluate_suite, workdir=tmp_path)
    monkeypatch.setattr(run_flags, "load", lambda args: run)
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    suites.add_arguments(parser)
    for flags in (["--limit=2", "--shots=1"], []):
        assert suites.run(parser.parse_args(["--suite=toy", *flags])) == 0
    assert asked == [("toy", {"shots": 1, "limit": 2}), ("toy", {})]
    assert capsys.readouterr().err == "toy: 2 questions\n" * 2
