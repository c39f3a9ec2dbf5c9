"""Span corruption, masking and prefixes: what goes in can be put together again."""

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.preprocessing import denoising
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tests.data.toy import dataset_of

VOCABULARY = byte_vocabulary(extra_ids=100)
FEATURES = {"targets": seqio.Feature(VOCABULARY)}


def examples(preprocessor, texts, lengths, seed=0, features=FEATURES, **settings):
    """What a preprocessor makes of token lists."""
    dataset = dataset_of([{"targets": text} for text in texts])
    with seqio.utils.map_seed_manager(seed):
        made = preprocessor(dataset, lengths, features, **settings)
    return list(made.as_numpy_iterator())


def restored(inputs, targets):
    """The text that inputs and targets of span corruption came from."""
    first = VOCABULARY.vocab_size - 100
    spans, current = {}, None
    for token in targets[:-1].tolist():
        if token >= first:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    text = [spans.get(token, [token]) for token in inputs[:-1].tolist()]
    return [token for piece in text for token in piece]


def test_span_corruption_restores_fills_and_counts():
    """114 of 128 … at inputs of 64: the noise is 15 %, the sentinels fall, nothing is lost."""
    texts = [np.random.default_rng(n).integers(3, 250, 300).tolist() for n in range(3)]
    made = examples(denoising.span_corruption, texts, {"inputs": 128, "targets": 40})
    stream = [token for text in texts for token in text]
    assert [t for x in made for t in restored(x["inputs"], x["targets"])] == stream
    for example in made[:-1]:
        assert len(example["inputs"]) == 128
        assert len(example["targets"]) == 29
        assert example["inputs"][-1] == example["targets"][-1] == 1
        sentinels = [t for t in example["targets"] if t >= VOCABULARY.vocab_size - 100]
        assert sentinels == list(range(sentinels[0], sentinels[0] - len(sentinels), -1))
        assert sentinels[0] == VOCABULARY.vocab_size - 1
        noise = len(example["targets"]) - len(sentinels) - 1
        assert noise == round(0.15 * 141)


@pytest.mark.parametrize(
    ("inputs", "density", "expected"),
    [
        (114, 0.15, (126, 26)),
        (128, 0.15, (141, 29)),
        (256, 0.15, (284, 58)),
        (512, 0.15, (568, 114)),
        (1024, 0.15, (1137, 229)),
        (128, 0.5, (190, 128)),
        (512, 0.5, (766, 512)),
        (4, 0.15, (3, 3)),
    ],
)
def test_text_length_golden(inputs, density, expected):
    """T5's lengths."""
    assert denoising.text_length(inputs, density, 3.0) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100, 190, 568])
def test_noise_masks_have_the_right_numbers_and_begin_with_kept_tokens(size):
    """round(0.15 n) tokens in round(that / 3) spans, at least one of each."""
    seeds = tf.constant([[1, 2], [3, 4]])
    mask = denoising.noise_mask(tf.constant(size), 0.15, 3.0, seeds).numpy()
    assert len(mask) == size
    assert not mask[0]
    if size > 1:
        noise = max(1, round(0.15 * size))
        assert mask.sum() == noise
        assert (np.diff(mask.astype(int)) == 1).sum() == max(1, round(noise / 3))


def test_span_corruption_needs_room_and_sentinels():
    """Both are said in one line."""
    with pytest.raises(UserError, match="needs targets of 29"):
        examples(denoising.span_corruption, [[3] * 9], {"inputs": 128, "targets": 10})
    plain = {"targets": seqio.Feature(byte_vocabulary())}
    with pytest.raises(UserError, match="give it extra_ids"):
        examples(denoising.span_corruption, [[3]], {"inputs": 9, "targets": 9}, features=plain)
    with pytest.raises(UserError, match="hold 114 spans, and the vocabulary has 100 sentinels"):
        examples(denoising.span_corruption, [[3]], {"inputs": 2048, "targets": 512})


def test_prefix_splits_at_random_within_both_lengths():
    """Together they are the text."""
    texts = [list(range(3, 3 + size)) for size in (1, 2, 12, 30)] * 10
    made = examples(denoising.prefix, texts, {"inputs": 8, "targets": 12})
    joined = [np.concatenate([x["inputs"], x["targets"]]).tolist() for x in made]
    assert joined[:2] == texts[:2]
    assert [t for piece in joined for t in piece] == [t for text in texts for t in text]
    assert all(len(x["inputs"]) <= 8 and 1 <= len(x["targets"]) <= 12 for x in made)
    assert len({len(x["inputs"]) for x in made if len(x["inputs"]) + len(x["targets"]) == 12}) > 4


def test_an_autoencoder_reads_what_it_writes():
    texts = [list(range(3, 3 + size)) for size in (2, 12)] + [[]]
    made = examples(denoising.autoencoder, texts, {"inputs": 8, "targets": 9})
    assert [x["targets"].tolist() for x in made] == [texts[0], texts[1][:8], texts[1][8:]]
    assert all(x["inputs"].tolist() == x["targets"].tolist() for x in made)
