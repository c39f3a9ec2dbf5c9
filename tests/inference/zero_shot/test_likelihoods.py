"""Continuations scored from a shared state equal the whole rows, for every kind of model."""

import numpy as np
import pytest
from keras import ops

from lm.errors import UserError
from lm.inference.ensemble import joined
from lm.inference.run import load
from lm.inference.zero_shot.likelihoods import (
    Group,
    Query,
    batch_sizes,
    batches,
    continuation_scores,
    grouped,
)
from lm.inference.zero_shot.respondent import Request, Respondent, query, windows
from lm.objectives.cross_entropy import likelihood
from tests import built, tiny_run
from tests.decode.test_models import KINDS

CONTEXTS = [[5, 9, 12], [7, 3, 8, 30, 2, 11, 4]]
CONTINUATIONS = [[[3, 8, 20], [6]], [[2, 2], [9, 4, 1]]]
SLOW = pytest.mark.slow
PARAMS = [pytest.param(*kind, id=kind[0]) for kind in KINDS]


class Scored:
    """An objective, as far as it is asked here."""

    def __init__(self, model):
        self.model = model


@SLOW
@pytest.mark.parametrize(("name", "prompt", "row"), PARAMS)
def test_continuations_from_a_state_equal_whole_rows(name, prompt, row):
    model = built.model(name)
    targets = np.zeros((2, 2, 3), "int32")
    pairs = []
    for b, context in enumerate(CONTEXTS):
        for n, tokens in enumerate(CONTINUATIONS[b]):
            targets[b, n, : len(tokens)] = tokens
            pairs.append((context, tokens))
    features = {key: ops.convert_to_tensor(x) for key, x in prompt(CONTEXTS, 8).items()}
    log_probs, correct = continuation_scores(
        Scored(model), (features, ops.convert_to_tensor(targets))
    )
    whole = row(pairs, 7, 3)
    wanted = likelihood(model(whole), ops.convert_to_tensor(whole["decoder_target_tokens"]))
    is_scored = whole["decoder_loss_weights"] > 0
    for i, (_, tokens) in enumerate(pairs):
        for found, sure in ((log_probs, wanted.log_prob), (correct, wanted.correct)):
            found = ops.convert_to_numpy(found)[i // 2, i % 2, : len(tokens)]
            np.testing.assert_allclose(
                found, ops.convert_to_numpy(sure)[i][is_scored[i]], atol=2e-5
            )


@pytest.fixture(
    scope="module",
    params=["continues", *(pytest.param(name, marks=SLOW) for name in ("answers", "conditional"))],
)
def run(request, tmp_path_factory):
    return load(tiny_run.make(request.param, tmp_path_factory.mktemp(request.param)))


@SLOW
def test_a_shared_context_changes_no_score(run):
    texts = [Request("ab", text) for text in (" c", " ba", " bb ca")]
    respondent = Respondent(trained=run.trained, batch_size=4)
    together = respondent.log_likelihoods(texts)
    alone = [respondent.log_likelihoods([text])[0] for text in texts]
    np.testing.assert_allclose([x.value for x in together], [x.value for x in alone], atol=1e-5)
    examples = [{"inputs": r.context, "targets": r.continuation.lstrip()} for r in texts]
    if run.trained.input_format.has_inputs:
        wanted = [score.log_likelihood for score in run.score(examples)]
        np.testing.assert_allclose([x.value for x in together], wanted, atol=1e-5)


@SLOW
def test_an_ensemble_of_equals_is_the_model(run):
    request = [Request("ab", " ca"), Request("", " b")]
    one, two = (
        Respondent(trained=trained).log_likelihoods(request)
        for trained in (run.trained, joined({"a": run.trained, "b": run.trained}))
    )
    np.testing.assert_allclose([x.value for x in one], [x.value for x in two], rtol=1e-5)


def test_a_language_model_encodes_both_texts_together(run):
    if run.trained.input_format.has_inputs:
        assert query(run.trained, Request("ab", " c")).continuation[-1] == 1
        return
    spaced, plain = (query(run.trained, Request(*r)) for r in (("ab ", "c"), ("ab", " c")))
    assert spaced == plain
    assert len(plain.continuation) == 2


def test_a_long_context_loses_its_beginning(run):
    asked = query(run.trained, Request("abc" * 20, " c"))
    assert len(asked.context) + len(asked.continuation) <= 16 + 12


def test_equal_queries_are_asked_once_and_contexts_read_once():
    queries = [Query((5,), (1,)), Query((5,), (2,)), Query((5,), (1,)), Query((), (3,))]
    assert grouped(queries, 8) == [Group((5,), 0, [(1,), (2,)]), Group((), 0, [(3,)])]
    assert len(grouped([Query((5,), (n,)) for n in range(9)], 8)) == 2


def test_the_windows_of_a_text_read_as_many_tokens_as_before():
    found = list(windows(list(range(10)), 4))
    assert found == [([], [0, 1, 2, 3]), ([3], [4, 5, 6, 7]), ([5, 6, 7], [8, 9])]
    assert list(windows([1, 2], 4)) == [([], [1, 2])]


class Sized:
    """A run, as far as the shape of a batch depends on it."""

    class input_format:
        prompt_side = "decoder"

    class model:
        class decoder:
            max_sequence_length = 40


def test_a_batch_fits_the_positions():
    group = Group((5,) * 33, 0, [(1,) * 6, (2,)])
    sizes = batch_sizes([group], 8, Sized)
    assert (sizes.contexts, sizes.sequences) == (4, 2)
    assert sizes.context_width >= 34
    assert sizes.width >= 6
    assert sizes.context_width + sizes.width - 1 <= 40
    with pytest.raises(UserError, match="text of 44 tokens does not fit the model's 40"):
        batch_sizes([Group((5,) * 33, 0, [(1,) * 11])], 8, Sized)


def test_a_batch_has_as_many_continuations_of_each_context():
    groups = [Group((n,), 0, [(1,)] * 2) for n in range(1, 6)] + [Group((9,), 0, [(1,)])]
    assert [len(batch) for batch in batches(groups, 4, Sized)] == [2, 2, 1, 1]
    long = [Group((1,) * 30, 0, [(1,)]), Group((1,), 0, [(1,) * 20])]
    assert [len(batch) for batch in batches(long, 4, Sized)] == [1, 1]
