"""Scoring speed: the requests of a set, and the table's line."""

from lm.bench import peers, scoring
from lm.data.evaluation.questions import Choice, Cloze, QuestionSet


def declare(monkeypatch, *asked):
    toy = QuestionSet(name="toy", questions=lambda: asked, require=lambda: None)
    monkeypatch.setattr(scoring, "find", lambda name: [toy])


def test_solved_questions_stand_before_the_first_ones(monkeypatch):
    declare(monkeypatch, Choice(("a", "a"), ("b", "c"), (1,)), Choice(("d",), ("e",), (0,)))
    assert scoring.requests("toy", shots=1, limit=1) == [("d e\n\na", " b"), ("d e\n\na", " c")]


def test_all_are_asked_the_same_in_turn(monkeypatch):
    declare(monkeypatch, Cloze("a", "b"), Cloze("c", "d"))
    monkeypatch.setattr(peers, "PAUSE", 0.0)
    order = []
    scorers = {name: lambda x, name=name: order.append((name, x)) for name in ("ours", "theirs")}
    line = scoring.row(
        "prompts of their own", scorers, limit=2, windows=1, report=lambda text: None
    )
    asked = [("a", " b"), ("c", " d")]
    assert order == [("ours", asked), ("theirs", asked)] * 2
    assert line[:3] == ["prompts of their own", "lambada, 0 solved before", 2]
    assert line[3].startswith("ours ") and ", theirs " in line[3] and float(line[4]) > 0
