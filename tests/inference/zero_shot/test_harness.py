"""lm-evaluation-harness on a run: its numbers are ours, and its command line knows the run."""

import json
import sys

import numpy as np
import pytest

from lm.data.evaluation.questions import Choice, Open, Passage, QuestionSet
from lm.inference.zero_shot.judge import judge
from tests import tiny_run

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow

from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.__main__ import cli_evaluate  # noqa: E402
from lm_eval.api.registry import model_registry  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from lm.cli.harness import MODEL_FILE  # noqa: E402
from lm.cli.main import main  # noqa: E402
from lm.inference.harness import SeqLM, sampling  # noqa: E402

ROWS = [
    {"context": "ab ba", "answers": ["c", "bc a", "cab"], "label": 1, "text": "ab cab a" * 6},
    {"context": "c", "answers": ["abc", "b", "aa"], "label": 0, "text": "b"},
    {"context": "bca ca b", "answers": ["a", "b b", "äb"], "label": 2, "text": "cab abc b äöü"},
]
CHOICE = """
task: toy_choice
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: "{{answers}}"
doc_to_target: label
metric_list:
  - metric: acc
  - metric: acc_norm
  - metric: acc_bytes
"""
ROLLING = """
task: toy_rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
"""
GENERATION = """
task: toy_generation
output_type: generate_until
doc_to_text: "{{context}}"
doc_to_target: "{{answers[0]}}"
generation_kwargs:
  until: ["b"]
  max_gen_toks: 4
metric_list:
  - metric: exact_match
"""
SOURCE = """
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}}}
test_split: test
"""


@pytest.fixture(scope="module", params=["continues", "answers"])
def model(request, tmp_path_factory):
    workdir = tiny_run.make(request.param, tmp_path_factory.mktemp(request.param))
    return SeqLM(str(workdir), batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three tasks over a local file."""
    folder = tmp_path_factory.mktemp("tasks")
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in (("choice", CHOICE), ("rolling", ROLLING), ("generation", GENERATION)):
        (folder / f"{name}.yaml").write_text(text + SOURCE.format(file=file))
    return folder


@pytest.fixture(scope="module")
def results(model, folder):
    names = ["toy_choice", "toy_rolling", "toy_generation"]
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(model=model, tasks=names, task_manager=manager, log_samples=True)


def ours(model, *asked):
    judged = judge(
        model.respondent,
        QuestionSet(name="toy", questions=list, require=list, stop=("b",), max_new_tokens=4),
        asked,
    )
    everything = np.arange(len(asked))
    return judged, {name: one.measure(everything) for name, one in judged.metrics.items()}


def test_choices_have_the_same_likelihoods_and_metrics(model, results):
    asked = [Choice((r["context"],) * 3, tuple(r["answers"]), (r["label"],)) for r in ROWS]
    judged, metrics = ours(model, *asked)
    for sample, row in zip(judged.samples, results["samples"]["toy_choice"], strict=True):
        theirs = [float(response[0][0]) for response in row["resps"]]
        np.testing.assert_allclose(sample["scores"]["accuracy"], theirs, atol=1e-6, rtol=0)
    found = results["results"]["toy_choice"]
    names = {"acc": "accuracy", "acc_norm": "accuracy_per_character"}
    for theirs, mine in (names | {"acc_bytes": "accuracy_per_byte"}).items():
        assert found[f"{theirs},none"] == metrics[mine]


def test_whole_texts_have_the_same_perplexities(model, results):
    _, metrics = ours(model, *(Passage(row["text"]) for row in ROWS))
    found = results["results"]["toy_rolling"]
    for name in ("word_perplexity", "bits_per_byte"):
        np.testing.assert_allclose(found[f"{name},none"], metrics[name], rtol=1e-6)


def test_the_same_texts_are_generated(model, results):
    judged, _ = ours(model, *(Open(row["context"], (row["answers"][0],)) for row in ROWS))
    made = [row["resps"][0][0].strip() for row in results["samples"]["toy_generation"]]
    assert [sample["prediction"] for sample in judged.samples] == made
    assert not any("b" in text for text in made)


def test_the_harness_keeps_what_it_ran(model, results):
    assert results["config"]["checkpoint"] == model.trained.metadata["checkpoint"]


def test_settings_of_generation():
    assert sampling({"max_gen_toks": 5, "temperature": 0.0}) == {"max_new_tokens": 5}
    made = sampling({"do_sample": True, "top_p": 0.9})
    assert made == {"max_new_tokens": 256, "temperature": 1.0, "top_p": 0.9}


@pytest.fixture
def written(folder, tmp_path, monkeypatch):
    """Runs a command line without a network, and returns the results that it writes."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")

    def run(start, words, tasks):
        given = [f"--tasks={tasks}", f"--include_path={folder}", f"--output_path={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["lm_eval", *words, *given, "--log_samples"])
        start()
        (file,) = tmp_path.rglob("results_*.json")
        found = json.loads(file.read_text())["results"]
        file.unlink()
        return found

    return run


def test_both_command_lines_give_the_same_results(written, tmp_path_factory):
    """`lm harness`, and `lm_eval` in a registry that does not know the model."""
    workdir = tiny_run.make("continues", tmp_path_factory.mktemp("run"))
    words = ["harness", f"--workdir={workdir}", "--batch_size=4"]
    ours = written(main, words, "toy_choice,toy_rolling,toy_generation")
    assert set(ours) == {"toy_choice", "toy_rolling", "toy_generation"}
    model_registry._objs.pop("seqlm")
    sys.modules.pop("lm.inference.harness_model", None)
    model = ["run", "--model=seqlm", f"--model_args=workdir={workdir}", "--batch_size=4"]
    theirs = written(cli_evaluate, model, f"{MODEL_FILE},toy_choice,toy_rolling,toy_generation")
    assert {name: theirs[name] for name in ours} == ours
