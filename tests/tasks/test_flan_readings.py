"""Readings: rows as TFDS and local files have them, made into fields."""

import pytest

pytest.importorskip("seqio")

from lm.data.storage.plain import plain
from tasks.flan import origin, readings
from tasks.flan.data_set import data_sets
from tasks.flan.readings.layout import Layout
from tasks.flan.readings.passages import flat_rows

# These look for a mark or a word in a text, which made-up text does not have.
MARKED = {"copa", "winogrande", "record", "arc_easy", "arc_challenge"}
LAYOUT = Layout({}, "label", ())


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "copa",
            {
                "premise": "It rained.",
                "question": "effect",
                "choice1": "Wet.",
                "choice2": "Dry.",
                "label": 0,
            },
            {"connective": "As a result,", "options": ("Wet.", "Dry.")},
        ),
        (
            "winogrande",
            {
                "sentence": "The cup fell off the shelf as the _ was loose.",
                "option1": "cup",
                "option2": "shelf",
                "label": 1,
            },
            {
                "context": "The cup fell off the shelf as the",
                "options": ("cup was loose.", "shelf was loose."),
                "label": 1,
            },
        ),
        (
            "winogrande",
            {
                "context_options": ["So the red cup", "So the blue box"],
                "continuation": "fell.",
                "gold": 0,
            },
            {"context": "So the", "options": ("red cup fell.", "blue box fell."), "label": 0},
        ),
        (
            "wsc273",
            {
                "text": "Ann called Eve because she knew.",
                "pronoun_start": 23,
                "pronoun_end": 26,
                "option1_normalized": "Ann",
                "option2_normalized": "Eve",
                "label": 0,
            },
            {"context": "Ann called Eve because", "options": ("Ann knew.", "Eve knew.")},
        ),
        (
            "record",
            {
                "passage": "A met B.\n@highlight\nC left.",
                "query": "Then @placeholder spoke.",
                "entities": ["A", "B"],
                "answers": ["B"],
            },
            {
                "passage": "A met B.\nC left.",
                "query": "Then ",
                "options": ("A spoke.", "B spoke."),
                "references": ("B spoke.",),
            },
        ),
        (
            "choices",
            {"question": "Which?", "choices": {"text": list("abcd")}, "answerKey": 2},
            {"question": "Which?", "options": ("a", "b", "c", "d"), "label": 2},
        ),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "2.500"}, {"label": 2}),
        (
            "hellaswag",
            {"context": "[header] How [step] Go", "endings": ["[x] on"], "label": 0},
            {"context": "How Go"},
        ),
        (
            "squad",
            {"context": "c", "question": "q", "title": "A_b", "answers": {"text": []}},
            {"answer": "unanswerable", "title": "A b"},
        ),
    ],
)
def test_a_row_becomes_fields(name, row, expected):
    fields = readings.find(name)(row, LAYOUT)
    assert {field: fields[field] for field in expected} == expected


def test_rows_are_left_out_that_cannot_be_asked():
    assert (
        readings.find("choices")({"query": "Q", "choices": ["a", "b"], "gold": 0}, LAYOUT) is None
    )
    assert readings.find("gigaword")({"document": "UNK said", "summary": "s"}, LAYOUT) is None
    assert readings.find("columns")({"label": -1}, LAYOUT) is None


def test_a_passage_with_several_questions_is_several_rows():
    answers = [{"text": "x", "label": 1}, {"text": "y", "label": 0}]
    row = {"passage": {"text": "p", "questions": [{"question": "q", "answers": answers}]}}
    assert [one["answer"] for one in flat_rows("multirc", row)] == ["x", "y"]
    spans = {"text": "Ann met Eve", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]}
    asked = {"query": "q", "answers": [{"text": "Eve"}]}
    (one,) = flat_rows("record", {"passage": spans, "qas": [asked]})
    assert one["entities"] == ["Ann", "Eve"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_tfds_name_is_built_and_its_features_are_read(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    for name, data_set in data_sets().items():
        if not data_set.tfds:
            continue
        folder = str(tmp_path)
        tfds.builder(data_set.tfds, data_dir=folder, try_gcs=False)  # the version can be built
        with tfds.testing.mock_data(num_examples=2):
            unversioned = data_set.tfds.partition(":")[0]
            dataset = tfds.load(unversioned, split=next(iter(data_set.slices)), data_dir=folder)
        rows = [plain(row) for row in dataset.as_numpy_iterator()]
        if name not in MARKED:
            layout = origin.TfdsRows(data_set).layout
            assert None not in [readings.find(data_set.read)(row, layout) for row in rows], name
