"""A tiny language model that remembers, and endless rows that go on from batch to batch."""

import functools

import numpy as np

from lm.models.decoder_only import DecoderOnly
from lm.nn import attention, convolution, embedding, heads, masks, residual, stack, transformer_xl
from lm.objectives.token_prediction import TokenPrediction
from tests.catalogue import DROPOUT, RMS, part
from tests.toy import Stream

ROWS, LENGTH, VOCABULARY = 4, 6, 11
REMEMBERING = part(transformer_xl.MemoryAttention, num_heads=2, memory_length=8)
CONVOLVED = part(
    attention.SelfAttention, num_heads=2, after_projection=part(convolution.CausalConvolution)
)


def model(after):
    """Returns a factory of the model, its residuals with layers after their branches."""
    layers = [
        part(residual.Residual, branch=branch, before=[RMS], after=after)
        for branch in (REMEMBERING, CONVOLVED)
    ]
    return part(
        DecoderOnly,
        embedding=part(embedding.TokenEmbedding, vocabulary_size=VOCABULARY, hidden_dim=8),
        decoder=part(stack.Stack, num_layers=1, layers=layers, mask=masks.causal),
        head=part(heads.TiedLogits),
        name="decoder_only",
    )


objective = functools.partial(TokenPrediction, model=model([DROPOUT]))
still = functools.partial(TokenPrediction, model=model([]))


def batch(number, seed=0, rows=ROWS):
    """Returns rows of which half go on with those before and some hold a border."""
    rng = np.random.default_rng([seed, number])
    tokens = rng.integers(1, VOCABULARY, (rows, LENGTH + 1)).astype("int32")
    segments = 1 + (np.arange(LENGTH) >= rng.integers(1, 2 * LENGTH, (rows, 1)))
    starts = np.argmax(segments[:, :, None] == segments[:, None], axis=-1)
    return {
        "decoder_input_tokens": tokens[:, :-1],
        "decoder_target_tokens": tokens[:, 1:],
        "decoder_loss_weights": np.ones((rows, LENGTH), "float32"),
        "decoder_segment_ids": segments.astype("int32"),
        "decoder_positions": (np.arange(LENGTH) - starts).astype("int32"),
        "decoder_continues": (rng.integers(0, 2, rows) * (number > 0)).astype("int32"),
    }


class Rows(Stream):
    """Such rows without end, whose position is a number."""

    def __init__(self, *, seed=0):
        super().__init__(seed=seed, rows=ROWS)
        self.features = batch(0)

    def __next__(self):
        self.position += 1
        return batch(self.position, self.seed)
