"""Greedy search and sampling: one token at a time, in one compiled loop.

A search uses two functions of a model:

    start(features, length) -> (tokens [B], state)    reads the prompts
    step(tokens [B], state) -> (logits [B, V], state) one token further

A sampler chooses tokens after logits processors: temperature, top-k, top-p. N samples of a prompt
are ranked by their total log-probability at temperature 1, without length normalization
(sample-and-rank: Adiwardana et al. 2020, https://arxiv.org/abs/2001.09977, section 3).

Shapes: B prompts, N sequences for each, R = B · N rows, at most M new tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

from keras import ops

from lm.decode.rows import best_first, repeat
from lm.nn.random import between_0_and_1, threefry, word
from lm.types import Features, Tensor, Tree

LogitsProcessor = Callable[[Tensor], Tensor]
"""Logits [R, V] -> logits [R, V]; -inf forbids a token."""

Sampler = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits [R, V], keys [R, 2], step -> tokens, int32 [R]."""


def temperature(value: float) -> LogitsProcessor:
    """Divides logits by the temperature, p_i ∝ p_i^(1/T): below 1 sharper, above 1 flatter.

    Args:
        value: T > 0; 0.88 in Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977).

    Example:
        >>> logits = temperature(0.5)(ops.log([[0.5, 0.25, 0.25]]))
        >>> [round(float(p), 3) for p in ops.softmax(logits)[0]]
        [0.667, 0.167, 0.167]
    """
    if value <= 0:
        raise ValueError(f"temperature must be above 0, got {value}; use greedy search for 0")
    return lambda logits: logits / value


def top_k(count: int) -> LogitsProcessor:
    """Keeps the `count` most probable tokens, and any tied with the last one.

    Source: Fan et al. 2018 (https://arxiv.org/abs/1805.04833).
    """
    if count < 1:
        raise ValueError(f"top_k must be at least 1, got {count}; None keeps all tokens")

    def process(logits: Tensor) -> Tensor:
        values, _ = ops.top_k(logits, min(count, logits.shape[-1]))
        return at_least(logits, values[..., -1:])

    return process


def top_p(mass: float) -> LogitsProcessor:
    """Keeps the smallest set of most probable tokens whose probabilities add up to `mass`.

    Source: Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751).
    """
    if not 0 < mass <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {mass}")

    def process(logits: Tensor) -> Tensor:
        ordered = -ops.sort(-logits, axis=-1)
        probabilities = ops.softmax(ordered, axis=-1)
        # Keep a token if those before it hold less than the mass; the first one is always kept.
        mass_before = ops.cumsum(probabilities, axis=-1) - probabilities
        ordered = ops.where(mass_before < mass, ordered, float("inf"))
        return at_least(logits, ops.min(ordered, axis=-1, keepdims=True))

    return process


def at_least(logits: Tensor, threshold: Tensor) -> Tensor:
    """Forbids tokens whose logits [R, V] are below the threshold [R, 1]."""
    return ops.where(logits >= threshold, logits, float("-inf"))


def greedy(logits: Tensor, keys: Tensor, step: Tensor) -> Tensor:
    """Takes the most probable token."""
    del keys, step
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def categorical(logits: Tensor, keys: Tensor, step: Tensor) -> Tensor:
    """Draws a token from softmax(logits), as `argmax(logits + Gumbel noise)`."""
    noise = gumbel(keys, step, logits.shape[-1])
    return ops.cast(ops.argmax(logits + noise, axis=-1), "int32")


def make_sampler(processors: Sequence[LogitsProcessor]) -> Sampler:
    """Returns a sampler that applies logits processors in order, then draws."""

    def sample(logits: Tensor, keys: Tensor, step: Tensor) -> Tensor:
        return categorical(reduce(lambda x, process: process(x), processors, logits), keys, step)

    return sample


def row_keys(seed: Tensor, rows: Tensor, samples: int) -> Tensor:
    """Returns a random key for each of `samples` sequences of every row, int32 [B * samples, 2].

    Keras' random functions draw one block for a whole batch, and generators differ by engine. Here
    noise is a hash of (row key, step, index): a seed gives the same sequence in any batch and on
    any engine.

    Args:
        seed: int32 scalar.
        rows: int32 [B], index of each example in the whole input.
        samples: number of samples per row.
    """
    row, sample = word(rows)[:, None], word(ops.arange(samples, dtype="int32"))[None]
    first, second = threefry((word(seed), word(0)), (row, sample))  # [B, samples]
    keys = ops.stack([ops.reshape(first, (-1,)), ops.reshape(second, (-1,))], axis=1)
    return ops.cast(keys, "int32")


def gumbel(keys: Tensor, step: Tensor, count: int) -> Tensor:
    """Returns standard Gumbel noise, float32 [R, count], `-log(-log u)` with u uniform.

    Args:
        keys: int32 [R, 2] of `row_keys`.
        step: int32 scalar, new at every draw.
        count: numbers per row.
    """
    indices = word(ops.arange(count, dtype="int32"))[None]
    bits, _ = threefry((word(keys[:, :1]), word(keys[:, 1:])), (indices, word(step)))
    return -ops.log(-ops.log(between_0_and_1(bits)))


class Decoded(NamedTuple):
    """Sequences for each prompt, best first.

    Attributes:
        tokens: int32 [B, N, M], 0 after the end.
        lengths: int32 [B, N], number of tokens, including the end token.
        log_probs: float32 [B, N], Σ log p(token) under the model (temperature 1).
        scores: float32 [B, N], the sequences are ordered by it.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
    scores: Tensor


class SamplingState(NamedTuple):
    """The state of the loop.

    Attributes:
        step: int32 scalar, tokens generated so far.
        token: int32 [R], the token to feed next.
        keys: int32 [R, 2], each row's random key.
        tokens: int32 [R, M].
        lengths: int32 [R].
        log_probs: float32 [R].
        is_finished: bool [R].
        model_state: the state of the model, R rows.
    """

    step: Tensor
    token: Tensor
    keys: Tensor
    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
    is_finished: Tensor
    model_state: Tree


class Sampling:
    """Generates token by token until every row is finished or has M tokens.

    Args:
        sampler: `greedy`, or the result of `make_sampler`.
        max_new_tokens: M.
        eos_id: token that ends a sequence; -1 if there is none.
        num_samples: N sequences per prompt, ranked by their probability under the model.
    """

    def __init__(
        self, *, sampler: Sampler, max_new_tokens: int, eos_id: int, num_samples: int = 1
    ) -> None:
        self.sampler = sampler
        self.max_new_tokens = max_new_tokens
        self.eos_id = eos_id
        self.num_samples = num_samples

    def __call__(self, model: Any, inputs: Features) -> Decoded:
        """Returns N sequences for each of B prompts; arguments as for `begin`."""
        return self.finish(self.advance(model, self.begin(model, inputs), self.max_new_tokens))

    def begin(self, model: Any, inputs: Features) -> SamplingState:
        """Reads the prompts.

        Args:
            model: has `start` and `step`.
            inputs: the model's features; `rows`, int32 [B], the index of each example in the
                whole input; and `seed`, int32 scalar.
        """
        token, model_state = model.start(inputs, capacity(inputs, self.max_new_tokens))
        token, model_state = repeat((token, model_state), self.num_samples)
        rows = token.shape[0]
        return SamplingState(
            step=ops.zeros((), "int32"),
            token=token,
            keys=row_keys(inputs["seed"], inputs["rows"], self.num_samples),
            tokens=ops.zeros((rows, self.max_new_tokens), "int32"),
            lengths=ops.zeros((rows,), "int32"),
            log_probs=ops.zeros((rows,), "float32"),
            is_finished=ops.zeros((rows,), "bool"),
            model_state=model_state,
        )

    def advance(self, model: Any, state: SamplingState, until: Tensor) -> SamplingState:
        """Generates until every unfinished row has `until` tokens."""

        def has_next(state: SamplingState) -> Tensor:
            return ops.logical_and(state.step < until, ops.logical_not(ops.all(state.is_finished)))

        def next_token(state: SamplingState) -> tuple[SamplingState]:
            logits, model_state = model.step(state.token, state.model_state)
            return (self.extend(state, ops.cast(logits, "float32"), model_state),)

        return ops.while_loop(has_next, next_token, (state,))[0]

    def extend(self, state: SamplingState, logits: Tensor, model_state: Tree) -> SamplingState:
        """Returns the state after one more token, chosen from logits [R, V]."""
        is_alive = ops.logical_not(state.is_finished)
        token = self.sampler(logits, state.keys, state.step) * ops.cast(is_alive, "int32")
        log_prob = log_probability(logits, token)
        return SamplingState(
            step=state.step + 1,
            token=token,
            keys=state.keys,
            tokens=ops.slice_update(state.tokens, (0, state.step), token[:, None]),
            lengths=state.lengths + ops.cast(is_alive, "int32"),
            log_probs=state.log_probs + ops.where(is_alive, log_prob, 0.0),
            is_finished=ops.logical_or(
                state.is_finished, ops.logical_and(is_alive, token == self.eos_id)
            ),
            model_state=model_state,
        )

    def finish(self, state: SamplingState) -> Decoded:
        """Returns the sequences of each prompt, ordered by log-probability."""
        tokens, lengths, log_probs = (
            ops.reshape(x, (-1, self.num_samples, *x.shape[1:]))  # [R, …] -> [B, N, …]
            for x in (state.tokens, state.lengths, state.log_probs)
        )
        return Decoded(*best_first((tokens, lengths, log_probs, log_probs), log_probs))


def capacity(inputs: Features, max_new_tokens: int) -> int:
    """Returns the decoder positions that a search needs; the last new token is never fed back."""
    prompt = inputs.get("decoder_input_tokens")
    return (1 if prompt is None else prompt.shape[1]) + max_new_tokens - 1


def log_probability(logits: Tensor, token: Tensor) -> Tensor:
    """Returns log softmax(logits)[token], [R, V] and [R] → [R]."""
    chosen = ops.take_along_axis(logits, token[:, None], axis=-1)[:, 0]
    return chosen - ops.logsumexp(logits, axis=-1)
