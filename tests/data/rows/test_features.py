"""Converters against the golden rows of SeqIO's, and against SeqIO itself."""

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.rows import converter as converters
from lm.data.rows import features, packing
from lm.errors import UserError
from tests.data.toy import dataset_of

PAIRS = [{"inputs": [7, 8, 5, 1], "targets": [3, 9, 1]}, {"inputs": [8, 4, 1], "targets": [5, 1]}]
LENGTHS = {"inputs": 8, "targets": 6}
TEXTS = [{"targets": [3, 9, 1]}, {"targets": [4, 8, 4, 1]}]


def rows_of(converter, examples, lengths):
    """All rows as lists."""
    rows = converters.to_rows(converter, dataset_of(examples), lengths).as_numpy_iterator()
    return [{name: value.tolist() for name, value in row.items()} for row in rows]


def test_encoder_decoder_packed_golden():
    """Two pairs in one row."""
    converter = features.EncoderDecoder(pack=packing.FirstFit)
    assert rows_of(converter, PAIRS, {"inputs": 8, "targets": 6}) == [
        {
            "encoder_input_tokens": [7, 8, 5, 1, 8, 4, 1, 0],
            "encoder_segment_ids": [1, 1, 1, 1, 2, 2, 2, 0],
            "encoder_positions": [0, 1, 2, 3, 0, 1, 2, 0],
            "decoder_target_tokens": [3, 9, 1, 5, 1, 0],
            "decoder_input_tokens": [0, 3, 9, 0, 5, 0],
            "decoder_loss_weights": [1, 1, 1, 1, 1, 0],
            "decoder_segment_ids": [1, 1, 1, 2, 2, 0],
            "decoder_positions": [0, 1, 2, 0, 1, 0],
        }
    ]


def test_encoder_decoder_unpacked_golden():
    """One pair in a row; like SeqIO's, the shift copies the last token into the padding."""
    first, second = rows_of(features.EncoderDecoder(), PAIRS, {"inputs": 8, "targets": 6})
    assert first["decoder_input_tokens"] == [0, 3, 9, 1, 0, 0]
    assert first["decoder_segment_ids"] == [1, 1, 1, 0, 0, 0]
    assert first["decoder_positions"] == [0, 1, 2, 0, 0, 0]
    assert second["encoder_input_tokens"] == [8, 4, 1, 0, 0, 0, 0, 0]


def test_prefix_language_model_packed_golden():
    """Inputs and targets one after the other; the prefix's mark is one longer than the inputs."""
    converter = features.PrefixLanguageModel(pack=packing.FirstFit)
    (row,) = rows_of(converter, PAIRS, {"inputs": 8, "targets": 8})
    pad = [0] * 4
    assert row["decoder_target_tokens"] == [7, 8, 5, 1, 3, 9, 1, 8, 4, 1, 5, 1, *pad]
    assert row["decoder_input_tokens"] == [0, 7, 8, 5, 1, 3, 9, 0, 8, 4, 1, 5, *pad]
    assert row["decoder_loss_weights"] == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, *pad]
    assert row["decoder_segment_ids"] == [1] * 7 + [2] * 5 + pad
    assert row["decoder_positions"] == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, *pad]
    assert row["decoder_causal_attention"] == [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, *pad]


def test_language_model_packed_golden():
    """Each text starts from token 0."""
    (row,) = rows_of(features.LanguageModel(pack=packing.FirstFit), TEXTS, {"targets": 10})
    assert row["decoder_target_tokens"] == [3, 9, 1, 4, 8, 4, 1, 0, 0, 0]
    assert row["decoder_input_tokens"] == [0, 3, 9, 0, 4, 8, 4, 0, 0, 0]
    assert row["decoder_segment_ids"] == [1, 1, 1, 2, 2, 2, 2, 0, 0, 0]


def test_language_model_splits_long_texts_and_counts_the_rows():
    """No token is lost, and an empty text makes no row."""
    converter = features.LanguageModel()
    texts = [{"targets": [3, 4, 5, 6, 7]}, {"targets": []}]
    rows = rows_of(converter, texts, {"targets": 2})
    assert [row["decoder_target_tokens"] for row in rows] == [[3, 4], [5, 6], [7, 0]]
    counts = [converters.num_rows(converter, text, {"targets": 2}) for text in texts]
    assert counts == [3, 0]


def test_token_zero_is_a_token():
    """Padding is told by segments, not by the token's id."""
    (row,) = rows_of(features.LanguageModel(), [{"targets": [0, 0, 5]}], {"targets": 4})
    assert row["decoder_loss_weights"] == [1, 1, 1, 0]


def test_encoder_puts_the_loss_where_weights_say():
    """Without weights it falls on every token."""
    masked = {"inputs": [3, 9, 5], "targets": [3, 4, 5], "loss_weights": [0, 1, 0]}
    (row,) = rows_of(features.Encoder(), [masked], {"inputs": 4})
    assert row["encoder_target_tokens"] == [3, 4, 5, 0]
    assert row["encoder_loss_weights"] == [0, 1, 0, 0]
    assert row["encoder_segment_ids"] == [1, 1, 1, 0]
    del masked["loss_weights"]
    (row,) = rows_of(features.Encoder(), [masked], {"inputs": 4})
    assert row["encoder_loss_weights"] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (features.EncoderDecoder, seqio.EncDecFeatureConverter),
        (features.PrefixLanguageModel, seqio.PrefixLMFeatureConverter),
    ],
)
def test_unpacked_rows_are_those_of_seqio(ours, theirs):
    """On tokens other than 0, all features that SeqIO makes have its values."""
    draw = np.random.default_rng(0)
    examples = [
        {"inputs": draw.integers(2, 50, a).tolist(), "targets": draw.integers(2, 50, b).tolist()}
        for a, b in draw.integers(1, 10, (40, 2))
    ]
    lengths = {"inputs": 9, "targets": 10}
    expected = theirs(pack=False)(dataset_of(examples), lengths).as_numpy_iterator()
    for row, wanted in zip(rows_of(ours(), examples, lengths), expected, strict=True):
        for name, value in wanted.items():
            assert row[name] == value.tolist(), name


def test_types_and_shapes():
    """Tokens are int32, weights float32, and every feature has its length."""
    converter = features.EncoderDecoder()
    spec = converters.to_rows(converter, dataset_of(PAIRS), LENGTHS).element_spec
    for name, feature in spec.items():
        assert feature.shape == (8,) if name.startswith("encoder") else (6,)
        assert feature.dtype == (tf.float32 if name.endswith("weights") else tf.int32)


def test_missing_feature_and_length_are_named():
    """In one line, with what there is."""
    with pytest.raises(UserError, match=r"no feature 'inputs'.*has targets"):
        converters.to_rows(features.EncoderDecoder(), dataset_of(TEXTS), LENGTHS)
    with pytest.raises(UserError, match="no length for 'inputs'"):
        converters.to_rows(features.EncoderDecoder(), dataset_of(PAIRS), {"targets": 6})
