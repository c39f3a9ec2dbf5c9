"""`lm.load`: generating, scoring and evaluating from run folders."""

import json
import math
import os
import re
import shutil

import numpy as np
import pytest

import lm
from lm import checkpoint
from lm.data.batching.windows import window_batches
from lm.errors import UserError
from lm.inference import own_weights
from lm.inference.evaluate import write_result
from lm.inference.own_weights import with_weights
from lm.inference.score import score_pairs
from tests import tiny_run


@pytest.fixture(scope="module", params=["continues", "answers"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def run(kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp(kind)
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    return lm.load(tiny_run.make(kind, folder))


PROMPTS = ["ab", "cab", "b"]


def test_weights_are_read_into_a_model_without_initial_values(tmp_path, monkeypatch):
    def recorded(model, folder):
        valued.extend(v.path for v in model.variables if v._value is not None)
        return load_weights(model, folder)

    valued, load_weights = [], checkpoint.load_weights
    monkeypatch.setattr(checkpoint, "load_weights", recorded)
    run = lm.load(tiny_run.make("continues", tmp_path))
    assert not valued
    assert all(v._value is not None for v in run.trained.objective.variables)


def test_prompts_together_equal_prompts_alone(run):
    settings = {"max_new_tokens": 6}
    together = run.generate(PROMPTS, **settings).candidates
    alone = [run.generate([prompt], **settings).candidates[0] for prompt in PROMPTS]
    assert [c[0].tokens for c in together] == [c[0].tokens for c in alone]
    assert all(len(c[0].tokens) <= 6 for c in together)


def test_the_score_of_what_it_wrote_is_its_log_probability(run):
    settings = {"max_new_tokens": 5}
    for prompt, found in zip(PROMPTS, run.generate(PROMPTS, **settings).candidates, strict=True):
        trained = run.trained
        pair = (trained.prompt_ids(prompt), found[0].tokens)
        ((log_likelihood, correct),) = score_pairs(trained, [pair] * 4, batch_size=4)[:1]
        assert math.isclose(log_likelihood, found[0].log_prob, rel_tol=1e-4)
        assert correct == len(found[0].tokens)


def test_a_beam_scores_at_least_as_much_as_greedy(run):
    greedy = run.generate(PROMPTS, max_new_tokens=5).candidates
    beams = run.generate(PROMPTS, max_new_tokens=5, beam_size=4).candidates
    assert all(len(found) == 4 for found in beams)
    for one, many in zip(greedy, beams, strict=True):
        assert many[0].log_prob >= one[0].log_prob - 1e-4


def test_scores_do_not_depend_on_the_batch(run):
    examples = [{"inputs": text, "targets": text[::-1]} for text in tiny_run.TEXTS]
    one, many = run.score(examples, batch_size=1), run.score(examples, batch_size=4)
    np.testing.assert_allclose(
        [s.log_likelihood for s in one], [s.log_likelihood for s in many], rtol=1e-5
    )
    assert [s.tokens for s in one] == [len(text) + 1 for text in tiny_run.TEXTS]
    bits = [
        -s.log_likelihood / math.log(2) / len(t) for s, t in zip(one, tiny_run.TEXTS, strict=True)
    ]
    np.testing.assert_allclose([s.bits_per_byte for s in one], bits)


def test_an_evaluation_is_exact_whatever_the_batch(run):
    examples = [{"inputs": text, "targets": text[::-1]} for text in tiny_run.TEXTS]
    if run.trained.task == "tiny_text":
        examples = [{"text": example["targets"]} for example in examples]
    nats = -sum(score.log_likelihood for score in run.score(examples))
    sizes = (sum(map(len, tiny_run.TEXTS)), len(" ".join(tiny_run.TEXTS).split()))
    for batch_size in (1, 4):
        (found,) = run.evaluate(batch_size=batch_size)
        assert found.metrics["examples"] == len(tiny_run.TEXTS)
        assert found.metrics["tokens"] == sizes[0] + len(tiny_run.TEXTS)
        expected = [nats / sizes[0] / math.log(2), math.exp(nats / sizes[1])]
        actual = [found.metrics[name] for name in ("bits_per_byte", "word_perplexity")]
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
        if "total_score" in found.metrics:
            np.testing.assert_allclose(found.metrics["total_score"], -nats, rtol=1e-5)


def test_rows_of_another_making_can_be_summed(run, kind):
    if kind == "answers":
        pytest.skip("windows are for language models")
    (found,) = run.evaluate(batches=window_batches, batch_size=4)
    characters = sum(map(len, tiny_run.TEXTS)) + len(tiny_run.TEXTS)
    assert found.metrics["tokens"] == characters - 1


def test_every_record_says_how_it_came_to_be(run, kind):
    (found,) = run.evaluate()
    facts = {"task", "split", "tokenizer", "config", "data", "step", "checkpoint", "lm", "seed"}
    assert facts | {"task_version", "prompts"} <= set(found.metadata)
    assert found.metadata["step"] == tiny_run.STEP
    if kind == "answers":
        assert found.metrics["bleu_signature"].startswith("nrefs:1|case:mixed")
        assert found.metadata["decoding"] == {"max_new_tokens": 128}
    folder = write_result(found, run.workdir)
    task = found.metadata["task"]
    lines = (folder / f"{task}-{tiny_run.STEP:06}.jsonl").read_text().splitlines()
    assert [json.loads(line)["targets"] for line in lines] == [t[::-1] for t in tiny_run.TEXTS]
    last = (folder / f"{task}-metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["bits_per_byte"] == found.metrics["bits_per_byte"]


def test_logits_in_parts_score_and_evaluate_alike(run):
    examples = [{"inputs": text, "targets": text[::-1]} for text in tiny_run.TEXTS]
    scores, (metrics,) = run.score(examples), [found.metrics for found in run.evaluate()]
    parts = lm.load(run.workdir, bindings=["token_prediction.TokenPrediction.chunks = 3"])
    for found, expected in zip(parts.score(examples), scores, strict=True):
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-5)
        assert found.is_greedy == expected.is_greedy
    (found,) = parts.evaluate()
    for name in ("loss", "accuracy", "bits_per_byte"):
        assert found.metrics[name] == pytest.approx(metrics[name], rel=1e-5)


def test_what_is_not_text_is_named(run):
    with pytest.raises(UserError, match='example 2: "targets" is not text: None'):
        run.score([{"inputs": "a", "targets": "b"}, {"inputs": "a", "targets": None}])


BLEU_BY_CHARACTERS = """
from __gin__ import dynamic_registration
from lm.inference import evaluate
from lm.data.evaluation import metrics
evaluate.evaluate.metrics = [@metrics.bleu]
metrics.bleu.tokenize = 'char'
evaluate.evaluate.limit = 1
"""


def test_the_metrics_of_a_task_can_be_replaced_from_gin(run, kind, tmp_path):
    if kind == "continues":
        pytest.skip("nothing is generated")
    file = tmp_path / "bleu.gin"
    file.write_text(BLEU_BY_CHARACTERS)
    (found,) = lm.load(run.workdir, gin_files=[str(file)]).evaluate()
    assert "|tok:char|" in found.metrics["bleu_signature"]
    assert "exact_match" not in found.metrics


def test_unknown_things_are_named(run, tmp_path):
    with pytest.raises(UserError, match="tiny_t"):
        run.evaluate("tiny_tex")
    with pytest.raises(UserError, match="checkpoint 3"):
        lm.load(run.workdir, checkpoint=3)
    with pytest.raises(UserError, match="no checkpoint"):
        lm.load(tmp_path)
    with pytest.raises(UserError, match="example 1"):
        run.score([{"question": "a"}])


@pytest.mark.parametrize(
    "line",
    [
        "HIDDEN_DIM = 1000000000",
        "TASK_FEATURE_LENGTHS = {'inputs': 1000000000000, 'targets': 1000000000000}",
    ],
)
def test_a_foreign_run_of_any_size_is_refused_unbuilt(run, kind, tmp_path, line):
    """By what it needs, and nothing of it is left for the next model."""
    shutil.copytree(run.workdir, tmp_path / "run")
    config = tmp_path / "run" / "config.gin"
    name = line.split()[0]
    config.write_text(re.sub(rf"(?m)^{name} = .*$", line, config.read_text()))
    with pytest.raises(UserError, match=r"too little memory: at least \d+"):
        lm.load(tmp_path / "run")
    assert lm.load(run.workdir).score([{"inputs": "ab", "targets": "b", "text": "ab"}])


def test_weights_that_do_not_fit_or_do_not_exist_are_refused(run, monkeypatch):
    with pytest.raises(UserError, match="choose one of float32, bfloat16, int8"):
        with_weights(run.trained, "int4")
    monkeypatch.setattr(own_weights.memory, "available", lambda: 10)
    with pytest.raises(UserError, match="--weights=float32 needs no copies"):
        with_weights(run.trained, "int8")
    assert with_weights(run.trained, "float32").copies is None
