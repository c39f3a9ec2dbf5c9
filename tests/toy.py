"""A language model of one matrix with dropout: the smallest objective with every kind of state."""

import keras
import numpy as np
from keras import ops

from lm.nn.dropout import Dropout
from lm.objectives.objective import Ratio

VOCABULARY = 11


class Toy(keras.Model):
    """Predicts a token from the one before it."""

    def __init__(self, *, dropout=0.0):
        super().__init__(name="toy")
        self.embedding = keras.layers.Embedding(VOCABULARY, 8, name="embedding")
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.logits = keras.layers.Dense(VOCABULARY, name="logits")

    def call(self, features, training=None):
        x = self.embedding(features["decoder_input_tokens"])
        return self.logits(self.dropout(x, training=training))

    def terms(self, features, outputs):
        outputs = ops.cast(outputs, "float32")
        targets, weights = features["decoder_target_tokens"], features["decoder_loss_weights"]
        losses = (
            ops.logsumexp(outputs, -1)
            - ops.take_along_axis(outputs, targets[..., None], -1)[..., 0]
        )
        correct = ops.cast(ops.equal(ops.argmax(outputs, -1), targets), "float32")
        total = ops.sum(weights)
        return {
            "loss": Ratio(ops.sum(losses * weights), total),
            "accuracy": Ratio(ops.sum(correct * weights), total),
        }


def batch(seed, rows=4, length=6):
    """Returns a batch whose target is the input plus one, with unequal weights per row."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, VOCABULARY, (rows, length)).astype("int32")
    weights = rng.integers(0, 2, (rows, length)).astype("float32")
    weights[0] = 1.0
    return {
        "decoder_input_tokens": tokens,
        "decoder_target_tokens": (tokens + 1) % VOCABULARY,
        "decoder_loss_weights": weights,
    }


class Stream:
    """Endless random batches whose position is a number, like a pipeline's."""

    def __init__(self, *, seed=0, rows=4):
        self.seed = seed
        self.rows = rows
        self.position = 0
        self.wait_seconds = 0.0
        self.features = batch(0, rows)

    def __next__(self):
        self.position += 1
        return batch([self.seed, self.position], self.rows)

    def fingerprint(self):
        return {"seed": self.seed, "batch_size": self.rows}

    def state(self):
        return str(self.position).encode()

    def restore(self, state, *, allow_changes=()):
        self.position = int(state)
