"""A model that was trained on rows that go on reads long texts row by row, as one long row."""

import functools
from dataclasses import replace

import numpy as np
import pytest

import lm
from lm.data.batching.contiguous import ContiguousWindows
from lm.data.batching.windows import window_batches
from lm.inference.score import score
from tests import tiny_run

EXAMPLES = [
    {"text": "abc abc ab a cab cab bb a"},
    {"text": "c"},
    {"inputs": "abc abc ab", "targets": " a bc"},
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run.make("remembers", tmp_path_factory.mktemp("remembers"))


def test_a_text_is_scored_as_if_its_rows_were_one(workdir):
    run = lm.load(workdir)
    assert run.trained.is_carried
    found = run.score(EXAMPLES, batch_size=2)
    longer = replace(run.trained, lengths={"targets": 64}, programs={})
    whole = score(trained=longer, examples=EXAMPLES)
    for mine, theirs in zip(found, whole, strict=True):
        assert mine.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-5)
        assert (mine.tokens, mine.is_greedy) == (theirs.tokens, theirs.is_greedy)


def test_evaluation_over_rows_that_go_on_sums_the_scores(workdir):
    run = lm.load(workdir)
    batches = functools.partial(window_batches, rows=ContiguousWindows)
    (by_rows,) = run.evaluate(batches=batches, batch_size=2)
    (by_texts,) = run.evaluate(batch_size=3)
    assert by_rows.metrics["tokens"] == by_texts.metrics["tokens"]
    np.testing.assert_allclose(by_rows.metrics["loss"], by_texts.metrics["loss"], rtol=1e-5)
