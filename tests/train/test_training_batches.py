"""What is wrong with vocabulary, ids or an empty batch is said before the first step."""

import keras
import numpy as np
import pytest

from lm.errors import ConfigError, LayerError, UserError
from lm.nn.embedding import TokenEmbedding
from lm.nn.position import LearnedPosition
from lm.train.training_batches import check_first_batch, check_vocabulary
from tests.toy import Stream
from tests.train.toy_run import run


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = TokenEmbedding(vocabulary_size=11, hidden_dim=4)


def features(**changes):
    tokens = np.arange(8, dtype="int32").reshape(2, 4)
    weights = np.ones((2, 4), "float32")
    return {"decoder_input_tokens": tokens, "decoder_loss_weights": weights} | changes


def test_a_tokenizer_with_more_ids_than_rows_is_refused():
    with pytest.raises(ConfigError, match=r"'targets' in x has 12 ids, .* VOCABULARY_SIZE = 12"):
        check_vocabulary(Model(), {"'inputs' in x": 3, "'targets' in x": 12})


def test_rows_that_no_id_reaches_are_told(capsys):
    check_vocabulary(Model(), {"'targets' in x": 9})
    check_vocabulary(Model(), {})
    assert capsys.readouterr().err == ""
    check_vocabulary(Model(), {"'targets' in x": 4})
    assert "has 4 ids, VOCABULARY_SIZE = 11" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [-1, 11])
def test_ids_outside_the_vocabulary_are_refused(bad):
    wrong = np.full((2, 4), bad, "int32")
    with pytest.raises(UserError, match=f"id {bad} in decoder_target_tokens, .* rows 0 to 10"):
        check_first_batch(Model(), features(decoder_target_tokens=wrong))


def test_a_batch_without_a_target_is_refused():
    check_first_batch(Model(), features())
    with pytest.raises(UserError, match="nothing to learn from"):
        check_first_batch(Model(), features(decoder_loss_weights=np.zeros((2, 4), "float32")))


def test_more_examples_in_a_row_than_a_model_admits_are_refused():
    model, packed = Model(), np.array([[1, 1, 2, 2], [1, 1, 1, 0]], "int32")
    check_first_batch(model, features(decoder_segment_ids=packed))
    model.max_segments = 1
    with pytest.raises(UserError, match=r"2 examples in a row, Model admits 1: bind packing.First"):
        check_first_batch(model, features(decoder_segment_ids=packed))


class Positioned(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = TokenEmbedding(vocabulary_size=11, hidden_dim=4)
        self.position = LearnedPosition(max_sequence_length=4)

    def build(self, shape):
        """The parts build themselves."""

    def call(self, tokens):
        return self.position(self.embedding(tokens), tokens)


def test_a_row_longer_than_the_positions_is_refused_on_shapes_alone_in_plain_words():
    with pytest.raises(LayerError) as error:
        Positioned()(keras.KerasTensor((2, 6), "int32"))
    assert str(error.value).startswith("6 positions do not fit LearnedPosition.max_sequence_length")


class Empty(Stream):
    def __next__(self):
        found = super().__next__()
        found["decoder_loss_weights"][:] = 0.0
        return found


def test_the_trainer_looks_before_it_compiles(tmp_path):
    with pytest.raises(UserError, match="nothing to learn from"):
        run(tmp_path, stream=Empty)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["0"]
