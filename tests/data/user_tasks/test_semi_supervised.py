"""Few labels, unlabelled texts with copies, pseudo-labels, and the batches made of them."""

import json

import numpy as np
import pytest
import seqio

from lm.data.batching import pipeline, semi_supervised
from lm.data.preprocessing import paraphrases
from lm.data.preprocessing.word_replacement import WordReplacement, counted, probabilities
from lm.data.registry.task_registry import get
from lm.data.rows.classification import Classification
from lm.data.user_tasks import augmented_task, few_labels, pseudo_labels, user_labels
from lm.data.user_tasks.derived_tasks import rows
from lm.errors import UserError
from tests.user_names import free

TEXTS = [f"{word} film number {n}" for n, word in enumerate(["good", "fine", "bad", "dull"] * 3)]
LABELS = ["pos", "pos", "neg", "neg"] * 3
MADE = ("user_labels", "few_labels", "augmented", "pseudo_labels")
LENGTHS = {"inputs": 16}


@pytest.fixture(autouse=True)
def task(tmp_path):
    """A table of 12 texts as a task; its name is free before and after."""
    free(*MADE)
    lines = [f"{text}\t{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    (tmp_path / "test.tsv").write_text("text\tlabel\na film\tpos\n")
    files = {"train": tmp_path / "train.tsv", "validation": tmp_path / "test.tsv"}
    yield user_labels.classification_task(**files)
    free(*MADE)


def shouted(texts):
    return (text.upper() for text in texts())


def train_rows(name):
    return list(rows(get(name).source, "train"))


def test_a_few_labels_of_each_kind_are_chosen_by_the_seed(task):
    name = few_labels.few_labels(task=task, per_label=2, seed=0)
    found = train_rows(name)
    assert [row["label"] for row in found] == ["neg", "neg", "pos", "pos"]
    assert all(row in train_rows(task) for row in found)
    assert get(name).source.num_input_examples("validation") == 1
    other = few_labels.few_labels(name="other_few", task=task, per_label=2, seed=1)
    assert train_rows(other) != found
    seqio.TaskRegistry.remove("other_few")


def test_more_labels_than_there_are_is_refused(task):
    name = few_labels.few_labels(task=task, per_label=7, seed=0)
    with pytest.raises(UserError, match="per_label = 7, but label 'neg' has 6 training examples"):
        train_rows(name)
    with pytest.raises(UserError, match="eutrans_es_en is no classification task"):
        few_labels.few_labels(name="no", task="eutrans_es_en", per_label=1, seed=0)


def batches(task, **settings):
    augmented = augmented_task.augmented_task(task=task, augment=lambda: shouted)
    shared = {"lengths": LENGTHS, "batch_size": 2, "seed": 0}

    def labelled():
        return pipeline.Pipeline(mixture_or_task_name=task, converter=Classification, **shared)

    def unlabelled():
        converter = semi_supervised.AugmentedPairs
        return pipeline.Pipeline(mixture_or_task_name=augmented, converter=converter, **shared)

    return semi_supervised.LabelledAndUnlabelled(
        labelled=labelled, unlabelled=unlabelled, unlabelled_per_labelled=2, **settings
    )


def text(tokens, segments):
    """The text of a row without [CLS] and [SEP]."""
    real = tokens[segments > 0][1:-1]
    return seqio.ByteVocabulary().decode([int(i) for i in real])


def test_rows_hold_a_labelled_text_and_unlabelled_ones_with_their_copies(task):
    data = batches(task)
    for step in range(2):
        batch = next(data)
        assert batch["step"].tolist() == [step, step]
        assert batch["labels"].shape == (2, 1)
        for name in ("input_tokens", "segment_ids", "positions", "token_types"):
            assert batch[f"encoder_{name}"].shape == (2, 5, 16)
        for tokens, segments in zip(
            batch["encoder_input_tokens"], batch["encoder_segment_ids"], strict=True
        ):
            found = [text(*pair) for pair in zip(tokens, segments, strict=True)]
            assert [copy.upper() for copy in found[1:3]] == found[3:]
            assert any(whole.startswith(found[1]) for whole in TEXTS)
    assert data.label_names == ("neg", "pos")
    assert data.fingerprint()["unlabelled"]["mixture_or_task_name"] == "augmented"


def test_a_saved_position_goes_on(task):
    data = batches(task)
    next(data)
    state, expected = data.state(), [next(data) for _ in range(3)]
    again = batches(task)
    again.restore(state)
    for batch in expected:
        for name, array in next(again).items():
            np.testing.assert_array_equal(array, batch[name])


def test_predictions_are_training_examples_the_most_probable_first(task, tmp_path):
    lines = [("one", "pos", 0.6), ("two", "neg", 0.9), ("three", "neg", 0.7)]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(prediction(*line) for line in lines))
    name = pseudo_labels.pseudo_labels(task=task, predictions=str(path))
    found = train_rows(name)
    assert found[:12] == train_rows(task)
    assert [(row["text"], row["label"]) for row in found[12:]] == [line[:2] for line in lines]
    best = pseudo_labels.pseudo_labels(name="best", task=task, predictions=str(path), share=2 / 3)
    assert [row["text"] for row in train_rows(best)[12:]] == ["two", "three"]
    seqio.TaskRegistry.remove("best")
    none = pseudo_labels.pseudo_labels(name="none", task=task, predictions=None)
    assert train_rows(none) == train_rows(task)
    seqio.TaskRegistry.remove("none")


def prediction(given, answer, probability):
    other = {"pos": "neg", "neg": "pos"}[answer]
    probabilities = {answer: probability, other: 1 - probability}
    return json.dumps({"text": given, "answer": answer, "probabilities": probabilities}) + "\n"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            '{"text": "a", "answer": "good", "probabilities": {}}',
            "'good' is no label of user_labels",
        ),
        ('{"answer": "pos", "probabilities": {"pos": 1}}', "no text 'text'"),
    ],
)
def test_a_line_that_is_no_prediction_is_named(task, tmp_path, line, what):
    path = tmp_path / "predictions.jsonl"
    path.write_text(prediction("a", "pos", 0.9) + line + "\n")
    name = pseudo_labels.pseudo_labels(task=task, predictions=str(path))
    with pytest.raises(UserError, match=f"predictions.jsonl:2: {what}"):
        train_rows(name)


def test_words_that_say_little_are_replaced_the_same_way_each_time():
    copies = list(WordReplacement(rate=0.5)(lambda: TEXTS))
    assert copies == list(WordReplacement(rate=0.5)(lambda: TEXTS))
    assert copies != list(WordReplacement(rate=0.5, seed=1)(lambda: TEXTS))
    assert copies != TEXTS
    words = set(" ".join(TEXTS).split())
    assert all(len(copy.split()) == 4 and set(copy.split()) <= words for copy in copies)
    # `film` is in every text and says nothing, the number is in one text alone.
    kept = [copy.split()[3] == given.split()[3] for copy, given in zip(copies, TEXTS, strict=True)]
    assert all(kept)
    assert list(WordReplacement(rate=0.0)(lambda: TEXTS)) == TEXTS
    with pytest.raises(UserError, match="no word in the texts"):
        list(WordReplacement()(lambda: ["...", "!"]))


def test_the_expected_share_of_words_is_replaced_and_draws_follow_the_corpus():
    corpus = counted(TEXTS)
    # 3 of 12 texts have `good`, 12 `film`: idf ln 4 and 0.
    assert corpus.idf["good"] == pytest.approx(np.log(4))
    assert corpus.idf["film"] == 0
    words = TEXTS[0].split()
    found = probabilities(words, corpus.idf, 0.2)
    tf_idf = np.array([np.log(4), 0, 0, np.log(12)]) / 4
    short = tf_idf.max() - tf_idf
    np.testing.assert_allclose(found, 0.2 * short / short.mean())
    assert found.sum() == pytest.approx(0.2 * 4)
    score = {
        word: " ".join(TEXTS).split().count(word) / 48 * corpus.idf[word] for word in corpus.words
    }
    weights = np.array([max(score.values()) - score[word] for word in corpus.words])
    np.testing.assert_allclose(corpus.cumulative, np.cumsum(weights))
    drawn = corpus.drawn(np.linspace(0, 1, 1000, endpoint=False))
    assert drawn.count("film") / 1000 == pytest.approx(
        weights[corpus.words.index("film")] / weights.sum(), abs=2e-3
    )


def test_sentences_are_answered_from_file_to_file(tmp_path):
    there, back = tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    there.write_text(generated("A good film.", "Ein  guter\nFilm.") + generated("See it!", "Seht!"))
    back.write_text(generated("Ein guter Film.", "A fine film.") + generated("Seht!", "Watch it!"))
    made = paraphrases.Paraphrases(files=[str(there), str(back)])
    assert list(made(lambda: ["A good film.  See it!"])) == ["A fine film. Watch it!"]
    with pytest.raises(UserError, match=r"there\.jsonl: no line with the prompt 'Other\.'"):
        list(made(lambda: ["Other."]))
    there.write_text('{"text": "x"}\n')
    with pytest.raises(UserError, match=r"there\.jsonl:1: not a line of `lm generate --json`"):
        list(made(lambda: ["Other."]))


def generated(prompt, answer):
    return json.dumps({"prompt": prompt, "candidates": [{"text": answer}]}) + "\n"
