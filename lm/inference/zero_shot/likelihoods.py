"""Log-probabilities of the tokens of continuations, with shared contexts read only once.

The state after a context is repeated for each of its continuations, and each continuation is scored
in one call.

Shapes by letter: B contexts, N continuations of each, T tokens of a continuation.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from lm.decode.model_inputs import START
from lm.decode.rows import repeat
from lm.decode.sampling import capacity
from lm.inference.score import padded_width
from lm.inference.trained import Trained
from lm.objectives.cross_entropy import likelihood
from lm.types import Tensor

Tokens = tuple[int, ...]

NARROW = 16  # minimum padded length
STEPS = ((512, 64), (float("inf"), 256))  # up to a length, pad to multiples of a number


class Query(NamedTuple):
    """Tokens to score after a context.

    Attributes:
        context: tokens that are read but not scored.
        continuation: tokens that are scored.
        first: start token of the decoder.
    """

    context: Tokens
    continuation: Tokens
    first: int = START


class TokenScores(NamedTuple):
    """Log-probability of each token of a continuation, and whether it is the most probable one."""

    log_probs: np.ndarray
    is_greedy: np.ndarray


class Group(NamedTuple):
    """The continuations of one context."""

    context: Tokens
    first: int
    continuations: list[Tokens]

    @property
    def sequences(self) -> int:
        """Number of continuations, rounded up to a power of two: N of its batch."""
        return _power_of_two(len(self.continuations))

    @property
    def longest(self) -> int:
        """Length of the longest continuation."""
        return max(map(len, self.continuations))


class Sizes(NamedTuple):
    """Shape of a batch: contexts, continuations per context, padded lengths of both."""

    contexts: int
    sequences: int
    context_width: int
    width: int


def token_scores(
    trained: Trained, queries: Sequence[Query], *, batch_size: int
) -> list[TokenScores]:
    """Returns the scores of each query; duplicate queries are scored once.

    Args:
        trained: the model.
        queries: contexts and continuations.
        batch_size: maximum number of continuations in a batch; affects only speed.

    Raises:
        UserError: a query is too long for the model.
    """
    program = trained.program(continuation_scores)
    found: dict[Query, TokenScores] = {}
    for batch in batches(grouped(queries, batch_size), batch_size, trained):
        sizes = batch_sizes(batch, batch_size, trained)
        log_probs, correct = program(packed(trained, batch, sizes))
        for row, group in enumerate(batch):
            for n, tokens in enumerate(group.continuations):
                scored = np.s_[row, n, : len(tokens)]
                query = Query(group.context, tokens, group.first)
                found[query] = TokenScores(log_probs[scored], correct[scored] > 0)
    return [found[query] for query in queries]


def continuation_scores(objective: Any, given: tuple[Any, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns log p(token), and whether each token is the most probable, float32 [B, N, T] each.

    Args:
        objective: the objective.
        given: features of the contexts, and the continuations, int32 [B, N, T].
    """
    features, targets = given
    model, (_, sequences, length) = objective.model, targets.shape
    start = model.start(features, capacity(features, length))
    token, state = repeat(start, sequences)  # [B·N]
    flat = ops.reshape(targets, (-1, length))  # [B·N, T]
    logits, _ = model.read(ops.concatenate([token[:, None], flat[:, :-1]], axis=1), state)
    scores = likelihood(ops.cast(logits, "float32"), flat)
    return tuple(ops.reshape(x, targets.shape) for x in (scores.log_prob, scores.correct))


def grouped(queries: Sequence[Query], most: int) -> list[Group]:
    """Returns the queries grouped by context, the largest groups first, each with a maximum size.

    Empty contexts are not shared.
    """
    found: dict[Any, list[Tokens]] = {}
    for number, query in enumerate(dict.fromkeys(queries)):
        alone = None if query.context else number
        found.setdefault((query.context, query.first, alone), []).append(query.continuation)
    groups = [
        Group(context, first, sorted(tokens, key=len)[start : start + most])
        for (context, first, _), tokens in found.items()
        for start in range(0, len(tokens), most)
    ]
    return sorted(groups, key=lambda g: (-g.sequences, -len(g.context), -g.longest))


def batches(groups: Sequence[Group], batch_size: int, trained: Trained) -> Iterator[list[Group]]:
    """Yields batches of groups of equal padded size that fit the batch size and positions."""
    batch: list[Group] = []
    for group in groups:
        more = [*batch, group]
        is_full = len(more) * group.sequences > max(batch_size, group.sequences)
        differs = group.sequences != more[0].sequences
        if batch and (is_full or differs or positions(more) > limit(trained)):
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def positions(batch: Sequence[Group]) -> int:
    """Returns the number of decoder positions that a batch needs."""
    return max(len(group.context) for group in batch) + max(group.longest for group in batch)


def limit(trained: Trained) -> float:
    """Returns the maximum number of decoder positions of a batch."""
    if trained.input_format.prompt_side == "encoder":
        return float("inf")
    return trained.model.decoder.max_sequence_length or float("inf")


def batch_sizes(batch: Sequence[Group], batch_size: int, trained: Trained) -> Sizes:
    """Returns the padded shape of a batch; there are few shapes, since each is compiled.

    Raises:
        UserError: a query is too long for the model.
    """
    sequences, longest = batch[0].sequences, max(group.longest for group in batch)
    contexts = max(batch_size // sequences, 1)
    context = max(len(group.context) for group in batch)
    most = trained.model.decoder.max_sequence_length
    if trained.input_format.prompt_side == "encoder":
        encoder_most = trained.model.encoder.max_sequence_length
        padded_width(context, encoder_most)  # raises if it is too long
        padded_width(longest, most)
        return Sizes(contexts, sequences, _width(context, encoder_most), _width(longest, most))
    padded_width(context + longest, most)
    width = _width(longest, most and most - context)
    prompt = _width(context + 1, most and most - width + 1)  # with the start token
    return Sizes(contexts, sequences, prompt, width)


def packed(trained: Trained, batch: Sequence[Group], sizes: Sizes) -> tuple[Any, np.ndarray]:
    """Returns the features of the contexts, and the continuations as int32 [B, N, T]."""
    filled = [*batch, *[batch[0]] * (sizes.contexts - len(batch))]
    contexts = [group.context for group in filled]
    features = dict(trained.input_format.pack_prompts(contexts, sizes.context_width))
    if "decoder_input_tokens" in features:
        features["decoder_input_tokens"][:, 0] = [group.first for group in filled]
    targets = np.zeros((sizes.contexts, sizes.sequences, sizes.width), "int32")
    for row, group in enumerate(filled):
        for n, tokens in enumerate(group.continuations):
            targets[row, n, : len(tokens)] = tokens
    return features, targets


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _width(length: int, most: int | None) -> int:
    """Returns the padded length of a context or continuation, one of few values.

    >>> [_width(length, None) for length in (3, 17, 100, 257, 600)]
    [16, 64, 128, 320, 768]
    """
    step = next(step for longest, step in STEPS if length <= longest)
    width = NARROW if length <= NARROW else -(-length // step) * step
    return width if most is None else min(width, most)
