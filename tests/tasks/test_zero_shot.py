"""The suites of zero-shot evaluation: how data are asked, and that what is held can be asked."""

import dataclasses
import json

import numpy as np
import pytest

from lm.data.evaluation import questions
from lm.data.evaluation.questions import Choice, Cloze, Decision, Open, Passage
from lm.data.storage import files
from lm.inference.zero_shot.judge import judge_choices
from lm.inference.zero_shot.respondent import LogLikelihood
from tasks.flan.data_set import DataSet
from tasks.flan.template import Example, Template
from tasks.zero_shot import suites
from tasks.zero_shot.instructed import instructed
from tasks.zero_shot.schemas import Schema, schemas, special_words

SCHEMA = Schema("The trophy does not fit the case as the", ("trophy", "case"), " is too big.", 0)

held = pytest.mark.skipif(
    not (files.data_dir() / "wsc273").is_dir(), reason="needs the folder of data sets"
)


def first(name):
    """The first question of each set of a suite."""
    return {one.name: next(iter(one.questions())) for one in questions.find(name)}


def test_a_schema_is_asked_in_two_ways():
    full, partial = SCHEMA.full(), SCHEMA.partial()
    assert full.contexts == ("The trophy does not fit the case as the",) * 2
    assert full.answers == ("trophy is too big.", "case is too big.")
    assert partial.contexts[1] == "The trophy does not fit the case as the case"
    assert partial.answers == ("is too big.",) * 2
    assert {questions.solved(one) for one in (full, partial)} == {
        "The trophy does not fit the case as the trophy is too big."
    }


def test_a_gap_at_either_end_keeps_the_text():
    assert questions.solved(Schema("", ("She", "He"), " ran.", 1).full()) == "He ran."
    assert questions.solved(Schema("I saw", ("her", "him"), ".", 1).partial()) == "I saw him."


class Words:
    """Log-likelihoods of the words of two sentences by their probabilities."""

    def __init__(self, *probabilities):
        self.by_candidate = {"x": probabilities[0], "y": probabilities[1]}

    def log_likelihoods(self, requests):
        found = []
        for context, continuation in requests:
            words = [*context.split(), *continuation.split()]
            p = self.by_candidate["y" if "y" in words else "x"]
            value = float(np.sum(np.log(p[len(context.split()) : len(words)])))
            found.append(LogLikelihood(value, True, 1))
        return found


def test_full_and_partial_scores_may_differ():
    """The substituted word itself decides the full score here."""
    words = Words([0.1, 0.2, 0.05, 0.3, 0.4], [0.1, 0.2, 0.5, 0.1, 0.3])
    schema = Schema("a b", ("x", "y"), " c d", 0)
    full, partial = (judge_choices(words, None, [one]) for one in (schema.full(), schema.partial()))
    one, other = (np.exp(found.samples[0]["scores"]["accuracy"]) for found in (full, partial))
    np.testing.assert_allclose(one * 0.1 * 0.2, [1.2e-4, 3.0e-4])
    np.testing.assert_allclose(other * 0.1 * 0.2, [2.4e-3, 6.0e-4])


def test_a_cause_follows_because():
    texts = {"premise": "The man fell.", "question": "cause", "answer": "It was wet."}
    made = suites.copa(Example(texts, ("It was wet.", "He ran."), ("It was wet.",)))
    assert made.contexts[0] == "The man fell because"
    assert made.answers == ("it was wet.", "he ran.")
    assert made.correct == (0,)


def test_all_examples_are_asked_where_validation_would_be_cut_from_train(tmp_path, monkeypatch):
    (tmp_path / "toy").mkdir()
    lines = [json.dumps({"text": f"row {number}", "label": number % 2}) for number in range(20)]
    (tmp_path / "toy" / "rows.jsonl").write_text("\n".join(lines))
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    train = DataSet("toy", (Template("{text}?"),), columns={"text": "text"}, options=("no", "yes"))
    small = dataclasses.replace(train, local={"train": "toy/rows.jsonl"})
    asked = instructed(small, "noopt", 0)
    asked.require()
    assert {one.contexts[0] for one in asked.questions()} == {f"row {n}?" for n in range(20)}
    assert asked.exemplars is None  # the other questions
    published = dataclasses.replace(small, local=small.local | {"test": "toy/rows.jsonl"})
    assert len(list(instructed(published, "noopt", 0).exemplars())) == 18


@held
def test_the_schemas_are_all_there():
    counts = {name: len(list(schemas(name))) for name in ("wsc273", "pdp60", "winogrande")}
    assert counts == {"wsc273": 273, "pdp60": 60, "winogrande": 633}
    assert all(len({*one.candidates}) == len(one.candidates) > 1 for one in schemas("pdp60"))


@held
def test_special_words_are_those_in_which_twins_differ():
    found = list(special_words().questions())
    first = found[0]
    assert (first.words, first.special) == (("feared", "violence."), (0,))
    assert [context.rpartition("because ")[2] for context in first.contexts] == [
        "the city councilmen",
        "the demonstrators",
    ]
    assert len(found) == 200


KINDS = {
    "commonsense": Decision,
    "superglue": Choice,
    "lambada": Cloze,
    "wikitext": Passage,
    "symbol_flipped": Choice,
    "list_functions": Open,
    "turing_concepts": Open,
    "flan_coreference": Choice,
    "flan_summarization_noopt": Open,
}


@held
@pytest.mark.parametrize("name", [*KINDS])
@pytest.mark.slow
def test_every_kind_of_suite_asks(name):
    for question in first(name).values():
        assert isinstance(question, (KINDS[name], Choice))
        assert "OPTIONS" not in str(question) or name == "flan_coreference"
        if isinstance(question, Choice):
            assert len(question.contexts) == len(question.answers) > 1
            assert question.correct


def test_suites_have_names_for_all():
    names = [one.name for sets in questions.suites().values() for one in sets()]
    assert {"wsc273_full", "pdp60_partial", "copa", "lambada", "flan_rte_zsopt_template3"} <= {
        *names
    }
