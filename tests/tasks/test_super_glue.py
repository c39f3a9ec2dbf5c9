"""SuperGLUE's tasks and answers that are spans, in both forms, from TFDS's rows and local files."""

import numpy as np
import pytest
import seqio

from lm.data.batching import stream
from lm.data.batching.evaluation_batches import evaluation_batches
from lm.data.evaluation import answer_metrics
from lm.data.evaluation.evaluation_task import EvaluationTask, LabelledTask
from lm.data.preprocessing import span_task, token_ends
from lm.data.registry.task_registry import find
from lm.data.rows.converter import to_rows
from lm.data.rows.question_answering import MultipleChoice, Spans
from lm.data.storage import sources, token_store
from lm.data.vocabulary import byte_vocabulary, sentencepiece_vocabulary
from tasks import squad
from tasks.support import super_glue

NUMBERS = {"boolq": (32, 3270), "copa": (394, 106), "wic": (23, 9)}
PASSAGE = "<b>Sent 1: </b>A dog came.<br>It sat."
# What TFDS has of each task, and what the readings make of it.
ROWS = {
    "multirc": {
        "paragraph": PASSAGE,
        "question": "Who came?",
        "answer": "A dog",
        "label": 1,
        "idx": {"paragraph": 3, "question": 7, "answer": 0},
    },
    "record": {
        "passage": 'He left."\n@highlight\nAnn stayed\n@highlight\nBob too',
        "query": "@placeholder did not go",
        "entities": ["Bob", "Ann"],
        "answers": ["Ann"],
    },
}
CONTEXTS = [
    ("Who came?", "Später kam ein Hund, the dog.", ["ein Hund", "the dog"], 11),
    ("Who left?", "Nobody did.", [], -1),
]


def extraction():
    rows = [
        dict(zip(("question", "context", "answers", "answer_start"), row, strict=True))
        for row in CONTEXTS
    ]
    return sources.examples_source(
        "toy_spans", {"train": lambda: rows}, fingerprint=lambda: {"rows": rows}
    )


@pytest.fixture
def spans():
    """Registers both forms of two questions and returns the class form by vocabulary."""

    def task(vocabulary=None):
        for name in ("toy_spans", "toy_spans_text"):
            seqio.TaskRegistry.remove(name)
        source = extraction()
        texts = {"question": "question", "context": "context"}
        span_task.text_form("toy_spans_text", source, texts=texts, benchmark="squad", metrics=[])
        return span_task.class_form(
            "toy_spans", span_task.Extraction(source, [answer_metrics.squad]), vocabulary=vocabulary
        )

    return task


def examples(task, split="train", length=64, count=-1):
    made = stream.preprocess(
        task,
        token_store.examples(task, split).take(count),
        stream.Steps({"inputs": length, "targets": length}),
    )
    return list(made.as_numpy_iterator())


@pytest.mark.parametrize("model", [None, "python_docs_4k"])
def test_the_tokens_of_an_answer_are_found(spans, model):
    vocabulary = None if model is None else sentencepiece_vocabulary(model)
    task = spans(vocabulary)
    first, second = examples(task)
    vocabulary = task.output_features["inputs"].vocabulary
    answer = first["inputs"][first["start"] : first["end"] + 1]
    assert vocabulary.decode(answer.tolist()).strip() == "ein Hund"
    assert first["token_types"][first["start"]] == 1
    assert (second["start"], second["end"]) == (0, 0)
    assert second["token_types"].tolist().count(1) > 2


def test_a_long_text_stays_whole_for_the_windows_and_a_long_question_is_cut(spans):
    first, _ = examples(spans(), length=18)
    assert byte_vocabulary().decode(first["inputs"][first["start"] : first["end"] + 1].tolist())
    assert first["token_types"].tolist().count(0) == 1 + (18 - 3) // 2 + 1
    text = first["inputs"][first["token_types"] == 1][:-1]
    assert byte_vocabulary().decode(text.tolist()) == CONTEXTS[0][1]


def test_answers_of_windows_are_compared_with_the_question_s(spans):
    """A model sure of each row's labels is right, over a batch's end, in two rows a question."""
    spans()
    lengths, converter = {"inputs": 32}, Spans(stride=8)
    labelled = LabelledTask(EvaluationTask("toy_spans", "train", lengths=lengths), converter)
    batches = evaluation_batches(
        mixture_or_task_name="toy_spans",
        split="train",
        lengths=lengths,
        converter=lambda: converter,
        batch_size=2,
    )
    labels = [batch["labels"] for batch in batches]  # [B, 2] each
    assert batches.row_examples.tolist() == [0, 0, 0, 1]
    found = labelled.predictions(np.eye(32)[rows] * 0.9 + 0.01 for rows in labels)
    assert found == labelled.targets == ["ein Hund", ""]


def test_predicted_spans_are_compared_with_all_answers(spans):
    spans()
    task = EvaluationTask("toy_spans", "train", lengths={"inputs": 64})
    labelled = LabelledTask(task, Spans())
    assert labelled.targets == ["ein Hund", ""]
    assert labelled.metrics(["dog", ""]) == {"em": 100.0, "f1": 100.0}
    assert labelled.metrics(["kam", "did"]) == {"em": 0.0, "f1": 0.0}
    text = examples(find("toy_spans_text"))
    assert text[0]["inputs_pretokenized"].decode().startswith("squad question: Who came? context: ")
    found = [example["targets_pretokenized"].decode() for example in text]
    assert found == ["ein Hund", "unanswerable"]


def test_spans_of_bytes_take_the_tokens_that_hold_them():
    ends = np.array([2, 5, 6], "int32")
    assert token_ends.span_of(ends, 0, 2).numpy().tolist() == [0, 0]
    assert token_ends.span_of(ends, 2, 6).numpy().tolist() == [1, 2]


def test_questions_of_tfds_are_read():
    answers = {"text": ["a", "b"], "answer_start": [4, 9]}
    (row,) = squad.read({"question": "q", "context": "c", "answers": answers, "id": "1"})
    assert row == {"question": "q", "context": "c", "answers": ["a", "b"], "answer_start": 4}
    (row,) = squad.read({**row, "answers": {"text": [], "answer_start": []}})
    assert (row["answers"], row["answer_start"]) == ([], -1)
    (row,) = super_glue.multirc(ROWS["multirc"])
    assert row["paragraph"] == "Sent 1: A dog came. It sat."
    assert (row["asked"], row["group"], row["label"]) == ("Who came? A dog", "3-7", 1)
    (row,) = super_glue.record(ROWS["record"])
    assert row["passage"] == 'He left." Ann stayed. Bob too'
    assert row["choices"] == ["Bob did not go", "Ann did not go"]
    assert (row["label"], row["listed"]) == (1, "Bob, Ann")


@pytest.mark.parametrize("name", NUMBERS)
def test_sizes(data_dir, name):
    source = find(name).source
    splits = ("train", "validation")
    assert tuple(source.num_input_examples(split) for split in splits) == NUMBERS[name]


def test_each_choice_is_read_beside_the_text(data_dir):
    task = find("copa")
    (first,) = examples(task, "train", length=24, count=1)
    lengths = first["choice_lengths"]
    assert len(lengths) == 2 and lengths.max() == 24  # the premise is cut
    parts = np.split(first["inputs"], np.cumsum(lengths)[:-1])
    for number, part in enumerate(parts, 1):
        assert (part[0], part[-1], part.tolist().count(356)) == (357, 356, 2)
        text = byte_vocabulary().decode([int(i) for i in part if i < 259])
        whole = next(task.source.examples["train"]())[f"choice{number}"]
        assert text.endswith(whole[-10:])
    types = np.split(first["token_types"], np.cumsum(lengths)[:-1])
    assert types[0].tolist().index(1) == parts[0].tolist().index(356) + 1
    dataset = stream.one_pass(task, "validation", stream.Steps({"inputs": 24})).take(2)
    row = next(iter(to_rows(MultipleChoice(num_choices=2), dataset, {"inputs": 24})))
    assert row["encoder_input_tokens"].shape == (2, 24)


def test_entities_and_groups_are_compared_by_the_metrics_of_superglue(data_dir):
    record = EvaluationTask(find("record").name, "validation", lengths={"inputs": 32})
    labels = [int(example["label"]) for example in record.examples]
    assert record.compare(labels, labels) == {"em": 100.0, "f1": 100.0}
    multirc = EvaluationTask(find("multirc").name, "validation", lengths={"inputs": 32})
    labels = [int(example["label"]) for example in multirc.examples]
    assert multirc.compare(labels, labels) == {"f1": 100.0, "em": 100.0}
    assert multirc.compare(labels, [1] * len(labels))["em"] < 50


@pytest.mark.parametrize(
    ("name", "inputs", "targets"),
    [
        ("wic", "wic sentence1: ", ("True", "False")),
        ("copa", "copa choice1: ", ("choice1", "choice2")),
        ("multirc", "multirc question: ", ("True", "False")),
        ("boolq", "boolq passage: ", ("True", "False")),
    ],
)
def test_text_forms_are_those_of_t5(data_dir, name, inputs, targets):
    find(name)
    (first,) = examples(find(f"{name}_text"), count=1)
    assert first["inputs_pretokenized"].decode().startswith(inputs)
    assert first["targets_pretokenized"].decode() in targets


def test_choices_of_a_row_too_short_are_refused(data_dir):
    with pytest.raises(Exception, match="inputs hold no text beside a choice"):
        examples(find("copa"), length=4, count=1)
