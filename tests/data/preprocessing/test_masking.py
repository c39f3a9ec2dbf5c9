"""Masked tokens: how many, which units, how they are replaced, static and anew."""

import functools

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.preprocessing import masking
from lm.data.vocabulary import by_name, byte_vocabulary
from lm.errors import UserError
from tests.data.preprocessing.test_denoising import FEATURES, VOCABULARY, examples

CLS, SEP = 357, 356


def test_masking_hides_80_10_10_of_15_percent():
    """Exactly round(0.15 n) places of each text; the shares within sampling error."""
    texts = [[10] * 100] * 100
    made = examples(masking.mask_tokens, texts, {"inputs": 100})
    weights = np.stack([x["loss_weights"] for x in made])
    inputs = np.stack([x["inputs"] for x in made])
    assert (np.stack([x["targets"] for x in made]) == 10).all()
    assert (weights.sum(1) == 15).all()
    assert (inputs[weights == 0] == 10).all()
    chosen = inputs[weights == 1]
    assert np.mean(chosen == VOCABULARY.vocab_size - 1) == pytest.approx(0.8, abs=0.04)
    assert np.mean(chosen == 10) == pytest.approx(0.1, abs=0.03)
    others = chosen[(chosen != 10) & (chosen != VOCABULARY.vocab_size - 1)]
    assert others.min() >= 3
    assert others.max() < VOCABULARY.vocab_size - 100


def test_masking_cuts_long_texts_first_and_masks_at_least_one():
    """Each piece has its own count."""
    made = examples(masking.mask_tokens, [[10] * 45], {"inputs": 20})
    assert [len(x["inputs"]) for x in made] == [20, 20, 5]
    assert [x["loss_weights"].sum() for x in made] == [3, 3, 1]


def test_seeds_decide():
    """Equal seeds, equal noise; and every example has its own."""
    run = [
        np.stack(
            [
                x["loss_weights"]
                for x in examples(masking.mask_tokens, [[9] * 50] * 4, {"inputs": 50}, seed=s)
            ]
        )
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(run[0], run[1])
    assert not np.array_equal(run[0], run[2])
    assert not np.array_equal(run[0][0], run[0][1])
    assert tf.executing_eagerly()


def tokens_of(text):
    return VOCABULARY.encode(text)


def test_whole_words_are_hidden_as_a_whole():
    text = "aa bbb c dddd ee"
    made = examples(
        masking.mask_tokens, [tokens_of(text)] * 50, {"inputs": 16}, rate=0.3,
        units=masking.whole_words,
    )  # fmt: skip
    words = np.cumsum([False, *(letter == " " for letter in text[1:])])
    for example in made:
        chosen = example["loss_weights"] == 1
        for word in np.unique(words):
            assert len(set(chosen[words == word])) == 1
        assert 5 <= chosen.sum() <= 9  # until there are 5, the last word may go over
    assert len({tuple(example["loss_weights"]) for example in made}) > 5


def test_words_of_a_sentencepiece_vocabulary_begin_with_its_sign():
    vocabulary = by_name("python_docs_4k")
    ids = vocabulary.encode("one two")
    starts = masking.whole_words(tf.constant(ids), vocabulary, None).numpy()
    pieces = [vocabulary.tokenizer.IdToPiece(i) for i in ids]
    assert starts.tolist() == [piece.startswith("\u2581") for piece in pieces]
    assert starts.any()


def test_spans_have_their_mean_length():
    units = functools.partial(masking.spans, mean_span_length=4.0)
    made = examples(masking.mask_tokens, [[10] * 400] * 20, {"inputs": 400}, units=units)
    chosen = np.stack([x["loss_weights"] for x in made]).astype(int)
    counts = chosen.sum(1)
    assert (counts >= 60).all() and counts.mean() < 66
    runs = (np.diff(chosen, axis=1, prepend=0) == 1).sum(1)
    assert 3.5 < counts.sum() / runs.sum() < 6.5  # neighbours join to longer runs


def test_separators_frame_each_part_and_are_never_hidden():
    framed = examples(masking.with_separators, [[10] * 25], {"inputs": 12})
    assert [len(x["targets"]) for x in framed] == [12, 12, 7]
    assert [x["targets"][[0, 1, -1]].tolist() for x in framed] == [[CLS, 10, SEP]] * 3
    texts = [x["targets"].tolist() for x in framed] * 20
    for units in (masking.tokens, masking.spans):
        for example in examples(masking.mask_tokens, texts, {"inputs": 12}, rate=0.9, units=units):
            ends = example["inputs"][[0, -1]].tolist()
            assert ends == [CLS, SEP] and not example["loss_weights"][[0, -1]].any()
            assert example["loss_weights"].sum() >= round(0.9 * (len(example["inputs"]) - 2))


def masks_of_passes(num_masks, passes=3):
    """The different masks that one text has over many passes, and whether texts differ."""
    found = [
        examples(
            masking.mask_tokens, [[9] * 50, [8] * 50], {"inputs": 50}, seed=seed,
            num_masks=num_masks,
        )
        for seed in range(passes)
    ]  # fmt: skip
    first, second = zip(*([tuple(x["inputs"]) for x in pair] for pair in found), strict=True)
    assert [t for t in first[0] if t != 9] != [t for t in second[0] if t != 8]
    return len(set(first))


@pytest.mark.parametrize(("num_masks", "least", "most"), [(1, 1, 1), (None, 3, 3)])
def test_masks_are_static_or_new_in_every_pass(num_masks, least, most):
    assert least <= masks_of_passes(num_masks) <= most


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"rate": 0.0}, "rate = 0.0: must lie over 0"),
        ({"rate": 1.5}, "rate = 1.5: must lie over 0, up to 1"),
        ({"mask_share": 0.9, "random_share": 0.2}, "mask_share = 0.9, random_share = 0.2"),
        ({"max_predictions": 21}, "max_predictions = 21: inputs have 20 tokens"),
    ],
)
def test_settings_out_of_range_are_refused(settings, what):
    with pytest.raises(UserError, match=what):
        examples(masking.mask_tokens, [[9] * 9], {"inputs": 20}, **settings)


def test_predictions_have_a_limit():
    made = examples(masking.mask_tokens, [[9] * 100], {"inputs": 100}, rate=0.5, max_predictions=7)
    assert made[0]["loss_weights"].sum() == 7


def test_vocabularies_without_a_mask_token_and_rows_too_short_are_refused():
    plain = {"targets": seqio.Feature(byte_vocabulary())}
    with pytest.raises(UserError, match="needs a vocabulary with sentinels: give it extra_ids"):
        examples(masking.mask_tokens, [[9]], {"inputs": 9}, features=plain)
    with pytest.raises(UserError, match="inputs hold no"):
        examples(masking.with_separators, [[9]], {"inputs": 2}, features=FEATURES)
