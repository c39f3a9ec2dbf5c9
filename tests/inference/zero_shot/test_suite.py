"""Questions, what they are a result of, and two results side by side."""

import json

import numpy as np
import pytest

from lm.cli.main import main
from lm.data.evaluation import questions
from lm.data.evaluation.answer_metrics import squad
from lm.data.evaluation.estimates import Estimate, estimate, exponential, mean, paired_test, ratio
from lm.data.evaluation.metrics import bleu
from lm.data.evaluation.questions import (
    Choice,
    Cloze,
    Decision,
    Open,
    Passage,
    QuestionSet,
    with_exemplars,
)
from lm.errors import UserError
from lm.inference.run import load
from lm.inference.zero_shot.comparison import compare, read
from lm.inference.zero_shot.judge import judge, normalised
from lm.inference.zero_shot.respondent import Answers, LogLikelihood, Respondent, until
from lm.inference.zero_shot.suite import SetResult, evaluate_set, write_result
from tasks.zero_shot import SUITES
from tests import tiny_run

CHOICES = [Choice(("ab",) * 2, ("c", "bc"), (n % 2,)) for n in range(4)]


def toy(name="toy", asked=tuple(CHOICES), **settings):
    return QuestionSet(name=name, questions=lambda: asked, require=lambda: None, **settings)


SETS = [
    toy(),
    toy("cloze", (Cloze("ab", "c"), Cloze("a", "b"))),
    toy("open", (Open("ab", ("c", "b")),), metrics=squad, max_new_tokens=3),
    toy("passages", (Passage("ab cab" * 5), Passage("c", 3))),
]


class Fixed:
    """A respondent of given log-likelihoods."""

    def __init__(self, by_answer):
        self.by_answer = by_answer

    def log_likelihoods(self, requests):
        return [LogLikelihood(self.by_answer[text], True, len(text)) for _, text in requests]

    def generate(self, prompts, **settings):
        return Answers([f" {prompt[::-1]} " for prompt in prompts], {})


@pytest.fixture(autouse=True)
def _suite(monkeypatch):
    monkeypatch.setitem(SUITES, "toy", lambda: SETS)
    monkeypatch.setitem(SUITES, "choices", lambda: SETS[:1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(tiny_run.make("continues", tmp_path_factory.mktemp("run")))


def test_a_model_is_asked_with_what_it_can_read(run):
    most = run.trained.lengths["targets"]

    def within(fits):
        longest = max(n for n in range(2 * most) if fits("a" * n, " b"))
        return [Choice(("a" * longest,) * 2, ("b", "c"), (0,))]

    respondent = Respondent(trained=run.trained)
    made = evaluate_set(respondent, toy(within=within), shots=0, seed=0, limit=None)
    assert made.samples[0]["contexts"][0] == "a" * (most - len(" b"))


def test_longer_answers_win_once_lengths_divide():
    given = [LogLikelihood(-4.0, True, 1), LogLikelihood(-6.0, True, 3)]
    alone = [LogLikelihood(-1.0, True, 1), LogLikelihood(-6.0, True, 3)]
    scores = normalised(["a", "äöü"], given, alone)
    assert {name: int(np.argmax(values)) for name, values in scores.items()} == {
        "accuracy": 0,
        "accuracy_per_token": 1,
        "accuracy_per_character": 1,
        "accuracy_per_byte": 1,
        "accuracy_unconditional": 1,
    }
    assert scores["accuracy_per_byte"] == [-4.0, -1.0]


def test_the_likeliest_answer_is_taken():
    judged = judge(Fixed({" c": -1.0, " bc": -2.0}), SETS[0], CHOICES)
    assert judged.metrics["accuracy"].measure(np.arange(4)) == 0.5
    assert judged.metrics["chance"].measure(np.arange(4)) == 0.5
    assert judged.samples[0]["scores"]["accuracy"] == [-1.0, -2.0]


def test_the_word_with_the_largest_ratio_decides():
    """p(c | a) / p(c | b) = e, p(d | a c) / p(d | b c) = e^2; the second word is special."""

    class ByContext(Fixed):
        def log_likelihoods(self, requests):
            return [LogLikelihood(self.by_answer[one], True, 1) for one in requests]

    by_request = {("a", " c"): -1.0, ("b", " c"): -2.0, ("a c", " d"): -1.0, ("b c", " d"): -3.0}
    asked = [Decision(("a", "b"), ("c", "d"), (1,))]
    judged = judge(ByContext(by_request), toy(), asked)
    assert judged.samples[0]["log_ratios"] == [1.0, 2.0]
    assert judged.samples[0]["values"] == {"special_word": 1.0, "chance": 0.5}
    assert with_exemplars(asked, CHOICES[:1], 1, 0)[0].contexts == ("ab c\n\na", "ab c\n\nb")


def test_a_metric_of_the_corpus_is_measured_on_all_texts():
    asked = [Open("1 2 3 4", ("4 3 2 1",)), Open("a", ("b",))]
    judged = judge(Fixed({}), toy(metrics=bleu), asked)
    assert judged.metrics["bleu"].measure(np.array([0])) == pytest.approx(100)


def test_exemplars_are_fixed_by_the_seed_and_never_the_question():
    pool = [Open(str(n), (str(-n),)) for n in range(20)]
    first, again, other = (with_exemplars(pool, pool, 3, seed) for seed in (0, 0, 1))
    assert first == again != other
    for question, solved in zip(pool, first, strict=True):
        shown = solved.context.split("\n\n")
        assert len(shown) == 4
        assert questions.solved(question) not in shown[:-1]


def test_passages_take_no_exemplars():
    with pytest.raises(UserError, match="--shots: passages are read without a context"):
        with_exemplars([Passage("a"), Passage("b")], [Passage("c")], 3, 0)


def test_errors_are_those_of_the_formula():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    found = estimate(mean(values), 400)
    assert found.value == values.mean()
    assert found.standard_error == pytest.approx(values.std() / 20, rel=0.1)
    assert found.low < found.value < found.high
    same = estimate(exponential(ratio(values, np.ones(400))), 400)
    assert same.low == pytest.approx(np.exp(found.low))


def test_a_difference_is_tested_on_the_same_questions():
    chance = np.random.default_rng(0)
    a = chance.integers(0, 2, 200).astype(float)
    few = a.copy()
    few[:6] = 1.0 - few[:6]
    assert paired_test(a, few).p_value > 0.05
    assert paired_test(np.zeros(10), np.ones(10)).p_value == pytest.approx(2**-9, abs=2e-3)


def test_what_is_generated_ends_at_the_first_stop():
    assert until("a b\n\nc", ["\n\n", "b"]) == "a "
    assert until("a", []) == "a"


@pytest.mark.slow
def test_a_suite_of_every_kind(run):
    results = {one.task: one for one in run.evaluate_suite("toy")}
    assert set(results["toy"].metrics) >= {"accuracy", "accuracy_unconditional", "chance"}
    assert set(results["cloze"].metrics) == {"log_likelihood", "accuracy", "perplexity"}
    assert set(results["open"].metrics) == {"em", "f1"}
    assert set(results["passages"].metrics) >= {"bits_per_byte", "word_perplexity"}
    again = run.evaluate_suite("toy", batch_size=3)
    for one in again:
        for name, metric in one.metrics.items():
            assert metric.value == pytest.approx(results[one.task].metrics[name].value, rel=1e-4)


def test_the_command_writes_results_that_compare(run, capsys):
    words = ["eval", f"--workdir={run.workdir}", "--suite=choices", "--log_samples"]
    assert main(words) == 0
    assert "accuracy_per_byte" in capsys.readouterr().out
    (row,) = read(run.workdir).values()
    sample = json.loads((row["folder"] / row["samples"]).read_text().splitlines()[0])
    alone = [{"inputs": "ab", "targets": text} for text in (" c", " bc")]
    wanted = [score.log_likelihood for score in run.score(alone, add_eos=False)]
    np.testing.assert_allclose(sample["scores"]["accuracy"], wanted, atol=1e-5)
    assert main(["results", "compare", str(run.workdir), str(run.workdir), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["difference"] == {"value": 0.0, "standard_error": 0.0, "p_value": 1.0}


def test_texts_are_generated_with_the_settings_of_gin(run, capsys):
    words = ["eval", f"--workdir={run.workdir}", "--suite=open", "--json"]
    for more, search in (
        ([], []),
        (["--gin_file=decode/beam.gin"], ["beam_size = 4", "alpha = 0.6"]),
    ):
        assert main([*words, *more]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["signature"]["generation"] == [["\n"], 3, *search]


@pytest.mark.parametrize("flag", ["--task=tiny_text", "--split=test"])
def test_a_suite_beside_a_task_is_refused(capsys, flag):
    assert main(["eval", "--workdir=nowhere", "--suite=toy", flag]) != 0
    assert "leave out --task and --split" in capsys.readouterr().err


def result(**signature):
    metrics = {"accuracy": Estimate(0.5, 0.1, 0.3, 0.7)}
    return SetResult("toy", "", 4, metrics, {"checkpoint": signature} | signature, 7, [])


def test_unlike_results_are_refused(tmp_path):
    for name, shots in (("a", 0), ("b", 1)):
        write_result(result(prompts=name, shots=shots), tmp_path / name, samples=False)
    with pytest.raises(UserError, match=r"toy: .* not alike: prompts .*; shots 0 and 1"):
        compare(tmp_path / "a", tmp_path / "b")
    assert compare(tmp_path / "a", tmp_path / "b", allow=("prompts", "shots"))
    with pytest.raises(UserError, match="no results"):
        compare(tmp_path / "a", tmp_path)


def test_an_unknown_suite_is_named_and_missing_data_too(monkeypatch):
    with pytest.raises(UserError, match="no suite or question set 'comonsense'"):
        questions.find("comonsense")

    def gone():
        raise UserError("not here")

    held = toy("held")
    half = [held, QuestionSet(name="x", questions=list, require=gone)]
    monkeypatch.setitem(SUITES, "half", lambda: half)
    with pytest.raises(UserError, match="1 of 2 question sets miss their data: x"):
        questions.find("half")
    assert questions.find("half_available") == [held]
