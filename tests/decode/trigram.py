"""A model small enough to enumerate: p(token | the two before it) from a table."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

EOS = 1
VOCABULARY_SIZE = 4


class Trigram(keras.Model):
    """`logits = table[before, last]`; the state is the token before the last, int32 [B, 1].

    Attributes:
        starts: how often `start` was traced.
    """

    def __init__(self, seed: int = 0, vocabulary_size: int = VOCABULARY_SIZE) -> None:
        super().__init__(name="trigram")
        self.vocabulary_size = vocabulary_size
        self.starts = 0
        self.table = self.add_weight(
            shape=(vocabulary_size, vocabulary_size, vocabulary_size),
            initializer="zeros",
            name="table",
        )
        noise = np.random.default_rng(seed).standard_normal(self.table.shape)
        self.table.assign(2 * noise)
        self.built = True

    def start(self, features: Mapping[str, Any], length: int) -> tuple[Any, tuple[Any]]:
        """The features of `model_inputs.causal_prompts`: the last token, and the one before it."""
        self.starts += 1
        del length
        tokens = features["decoder_input_tokens"]
        last = ops.sum(features["decoder_segment_ids"], axis=1) - 1
        indices = ops.stack([last, ops.maximum(last - 1, 0)], axis=1)
        last_two = ops.take_along_axis(tokens, indices, axis=1)
        return last_two[:, 0], (last_two[:, 1:],)

    def step(self, tokens: Any, state: tuple[Any]) -> tuple[Any, tuple[Any]]:
        rows = state[0][:, 0] * self.vocabulary_size + tokens
        table = ops.reshape(ops.convert_to_tensor(self.table), (-1, self.vocabulary_size))
        return ops.take(table, rows, axis=0), (tokens[:, None],)


def log_probs(model: Trigram) -> np.ndarray:
    """Returns log p[before, last, next]."""
    table = model.table.numpy().astype("float64")
    return table - np.log(np.exp(table).sum(-1, keepdims=True))


def sequences(model: Trigram, prompt: list[int], length: int) -> Iterator[tuple[list[int], float]]:
    """Yields every sequence with its log-probability: ended by EOS, or `length` tokens long."""
    table = log_probs(model)
    for choice in itertools.product(range(model.vocabulary_size), repeat=length):
        tokens = list(choice)
        if EOS in tokens[:-1]:
            end = tokens.index(EOS) + 1
            if any(tokens[end:]):  # counted once, with zeros after its end
                continue
            tokens = tokens[:end]
        history = [0, 0, *prompt, *tokens]
        indices = range(len(history) - len(tokens), len(history))
        yield tokens, sum(table[history[i - 2], history[i - 1], history[i]] for i in indices)


def inputs(prompts: list[list[int]], width: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the inputs of a search."""
    from lm.decode.model_inputs import causal_prompts

    rows = np.arange(len(prompts), dtype="int32")
    return {**causal_prompts(prompts, width), "rows": rows, "seed": np.array(seed, "int32")}
