"""Vectors of texts by a stack: padding and batches change nothing; frames are as in training."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.inference.vectors import cls_and_sep, of_stack, plain
from lm.nn import label_head

TEXTS = ["a", "abc", "ba"]
VOCABULARY = byte_vocabulary(extra_ids=100)


class Counts(keras.Model):
    """How often each id has been read up to a position, [B, T, V]."""

    sides = ("decoder",)
    decoder = SimpleNamespace(max_sequence_length=6)

    def hidden(self, features):
        tokens = ops.one_hot(features["decoder_input_tokens"], VOCABULARY.vocab_size)
        return ops.cumsum(tokens, axis=1), ()


def trained(**attributes):
    objective = keras.Model(name="objective")
    objective.model = Counts()
    feature = SimpleNamespace(vocabulary=VOCABULARY, add_eos=True)
    return Trained(
        objective=objective,
        features={"targets": feature},
        task="",
        lengths={},
        converter=list,
        **attributes,
    )


def counted(ids):
    return np.bincount(ids, minlength=VOCABULARY.vocab_size).astype("float32")


def test_the_last_position_has_read_the_whole_text_and_no_padding():
    found = of_stack(trained=trained(), texts=TEXTS, summary=label_head.last, batch_size=2)
    wanted = [counted([0, *VOCABULARY.encode(text)]) for text in TEXTS]
    np.testing.assert_array_equal(found, wanted)


def test_a_row_between_cls_and_sep():
    last = VOCABULARY.vocab_size - 1
    assert cls_and_sep(trained(), "a") == [last - 1, *VOCABULARY.encode("a"), last - 2]
    assert plain(trained(), "a") == [0, *VOCABULARY.encode("a")]


def test_a_text_beyond_the_positions_is_named():
    with pytest.raises(UserError, match="text 2 has 7 tokens, the model 6 positions"):
        of_stack(trained=trained(), texts=["a", "abcdef"], summary=label_head.last)
