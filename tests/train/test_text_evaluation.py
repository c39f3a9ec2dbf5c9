"""Metrics of generated texts while training: what they are of, and what decides."""

from types import SimpleNamespace

import pytest
import seqio

from lm.data.evaluation.metrics import bleu, exact_match
from lm.data.rows.features import EncoderDecoder
from lm.data.user_tasks import user
from lm.errors import ConfigError
from lm.inference.generate import Candidate, Generated
from lm.train.evaluation import TextEvaluation
from lm.train.loop import decisive

ENGINE = SimpleNamespace(pull=lambda: None, program=SimpleNamespace(objective=None))
WRITTEN = ["a small dog runs home", "two cats"]


@pytest.fixture
def task(tmp_path):
    """Two examples, the first of which the model gets right."""
    seqio.TaskRegistry.remove("user_tsv")
    user._SPECS.clear()
    rows = "inputs\ttargets\nein Hund\ta small dog runs home\nzwei Katzen\ttwo old cats sleep\n"
    (tmp_path / "dev.tsv").write_text(rows)
    return user.tsv_task(
        train=tmp_path / "dev.tsv", validation=tmp_path / "dev.tsv", metrics=[exact_match, bleu]
    )


def generate(*, trained, prompts):
    assert trained.lengths == {"inputs": 16, "targets": 32}
    assert len(prompts) == 2
    return Generated([[Candidate(text, [], 0.0, 0.0)] for text in WRITTEN], {})


def evaluation(name, **settings):
    lengths = {"inputs": 16, "targets": 32}
    return TextEvaluation(
        mixture_or_task_name=name,
        lengths=lengths,
        converter=EncoderDecoder,
        generate=generate,
        **settings,
    )


def test_the_tasks_metrics_of_the_texts_decide(task):
    (found,) = evaluation(task)(ENGINE)
    assert found.values["exact_match"] == found.score == 50.0
    assert 0 < found.values["bleu"] < 100
    assert decisive(found) == -50.0
    (by_bleu,) = evaluation(task, decisive="bleu")(ENGINE)
    assert by_bleu.score == found.values["bleu"]


def test_what_cannot_decide_is_named(task):
    with pytest.raises(ConfigError, match="the metrics of user_tsv are exact_match, bleu"):
        list(evaluation(task, decisive="blue")(ENGINE))
    with pytest.raises(ConfigError, match=r"bind TextEvaluation\.metrics"):
        evaluation(task, metrics=[])
