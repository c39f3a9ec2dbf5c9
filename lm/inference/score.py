"""The log-likelihood of given texts: the entry function of `lm score`, `score.score` in gin."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.decode.model_inputs import EMPTY, Pair, bucket
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.likelihood import bits
from lm.nn.branch import State
from lm.objectives.objective import Objective, RowScores, outputs_and_carry
from lm.parts import entry
from lm.ranges import PositiveInt


class Score(NamedTuple):
    """The score of a text.

    Attributes:
        log_likelihood: Σ log p(token) over the targets, in nats.
        tokens: number of target tokens, the end token included.
        is_greedy: whether every target is the most probable token.
        bits_per_byte: -log₂ p per byte of the target text; None if the text is empty.
    """

    log_likelihood: float
    tokens: int
    is_greedy: bool
    bits_per_byte: float | None


@entry
def score(
    *,
    trained: Trained,
    examples: Sequence[Mapping[str, str]],
    add_eos: bool | None = None,
    batch_size: PositiveInt = 16,
) -> list[Score]:
    """Returns the score of every example, in order.

    Args:
        trained: the model.
        examples: `{"inputs": …, "targets": …}` or `{"text": …}`; the targets are scored.
        add_eos: whether to score the end token too; by default as in the task.
        batch_size: texts in a batch; affects only speed.

    Raises:
        UserError: an example lacks a text or is too long.
    """
    pairs = [
        encode_pair(trained, e, number, add_eos=add_eos) for number, e in enumerate(examples, 1)
    ]
    sums = score_pairs(trained, pairs, batch_size=batch_size)
    return [
        Score(
            log_likelihood=float(log_likelihood),
            tokens=len(targets),
            is_greedy=bool(correct == len(targets)),
            bits_per_byte=bits_per_byte(log_likelihood, targets_text(example)),
        )
        for (log_likelihood, correct), (_, targets), example in zip(
            sums, pairs, examples, strict=True
        )
    ]


def encode_pair(
    trained: Trained, example: Mapping[str, str], number: int, *, add_eos: bool | None = None
) -> Pair:
    """Returns inputs and targets as ids."""
    for name in {"inputs", "targets", "text"} & example.keys():
        if not isinstance(example[name], str):
            raise UserError(f'example {number}: "{name}" is not text: {example[name]!r:.40}')
    text, inputs = targets_text(example), example.get("inputs", "")
    if text is None:
        have = ", ".join(example) or "nothing"
        raise UserError(f'example {number} needs "targets" or "text"; it has {have}')
    if trained.input_format.has_inputs and "inputs" not in example:
        raise UserError(f'example {number} needs "inputs": the model is a {trained.kind}')
    targets = trained.ids(text, "targets", add_eos=add_eos)
    return (trained.prompt_ids(inputs) if inputs else [], targets)


def targets_text(example: Mapping[str, str]) -> str | None:
    """Returns the text to score."""
    return example.get("targets", example.get("text"))


def bits_per_byte(log_likelihood: float, text: str | None) -> float | None:
    """Returns -log₂ p over the bytes of the text."""
    size = len((text or "").encode())
    return bits(-float(log_likelihood), size) if size else None


def score_pairs(trained: Trained, pairs: Sequence[Pair], *, batch_size: int) -> np.ndarray:
    """Returns float64 [number of pairs, 2]: log-likelihood, and number of most probable targets.

    Raises:
        UserError: a pair is too long for the model.
    """
    if trained.is_carried:
        return score_carried(trained, pairs, batch_size=batch_size)
    pack = trained.input_format.pack_pairs
    program = trained.program(row_scores)
    rows = [(i, row) for i, pair in enumerate(pairs) for row in scored_rows(trained, pair)]
    rows.sort(key=lambda numbered: -sum(map(len, numbered[1])))  # for little padding
    sums = np.zeros((len(pairs), 2))
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        chosen = [row for _, row in batch]
        chosen += [chosen[0]] * (min(batch_size, len(rows)) - len(batch))
        scores, _ = program((pack(chosen, *widths(trained, chosen)), ()))
        found = RowScores(*scores)
        for row, (i, _) in enumerate(batch):  # the rows of a text add up
            sums[i] += found.log_likelihood[row], found.correct[row]
    return sums


def score_carried(trained: Trained, pairs: Sequence[Pair], *, batch_size: int) -> np.ndarray:
    """Returns the same for a model with a carry, which links the rows of a text."""
    texts = [split_rows(trained, pair) for pair in pairs]
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    sums = np.zeros((len(pairs), 2))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        padding: list[list[Pair]] = [[]] * (min(batch_size, len(order)) - len(chosen))
        for found in row_by_row(trained, [texts[i] for i in chosen] + padding):
            both = np.stack([found.log_likelihood, found.correct], axis=1)
            sums[chosen] += both[: len(chosen)]
    return sums


def row_by_row(trained: Trained, texts: Sequence[Sequence[Pair]]) -> Iterator[RowScores]:
    """Yields the sums of the first row of every text, then of the second, and so on."""
    program, carry = trained.program(row_scores), trained.objective.initial_carry(len(texts))
    last = [trained.start_token] * len(texts)
    for number in range(max(map(len, texts))):
        rows = [text[number] if number < len(text) else EMPTY for text in texts]
        features = trained.input_format.pack_pairs(rows, *widths(trained, rows))
        features["decoder_input_tokens"][:, 0] = last
        features["decoder_continues"] = np.full(len(texts), number > 0, "int32")
        found, carry = program((features, carry))
        last = [[trained.start_token, *row[0], *row[1]][-1] for row in rows]
        yield RowScores(*found)


def scored_rows(trained: Trained, pair: Pair) -> list[Pair]:
    """Returns the rows of a text that contain targets, each scored independently.

    This is how a language model without a carry is trained. Other models read a pair whole.
    """
    if trained.input_format.has_inputs:
        return [pair]
    return [(inputs, targets) for inputs, targets in split_rows(trained, pair) if targets]


def split_rows(trained: Trained, pair: Pair) -> list[Pair]:
    """Splits a text into rows of at most the training length, inputs and targets separate."""
    inputs, targets = pair
    length = trained.lengths["targets"]
    tokens, read = [*inputs, *targets], len(inputs)
    starts = range(0, len(tokens), length)
    rows = [tokens[start : start + length] for start in starts]
    borders = [min(max(read - start, 0), len(row)) for start, row in zip(starts, rows, strict=True)]
    return [(row[:border], row[border:]) for row, border in zip(rows, borders, strict=True)]


def widths(trained: Trained, pairs: Sequence[Pair]) -> tuple[int, int]:
    """Returns the padded lengths of inputs and targets.

    Raises:
        UserError: the model has too few positions.
    """
    inputs = max(len(inputs) for inputs, _ in pairs)
    targets = max(len(targets) for _, targets in pairs)
    limit = trained.model.decoder.max_sequence_length
    if trained.input_format.prompt_side == "encoder":
        encoder_limit = trained.model.encoder.max_sequence_length
        return padded_width(max(inputs, 1), encoder_limit), padded_width(targets, limit)
    total = max(len(inputs) + len(targets) for inputs, targets in pairs)
    return 0, padded_width(total, limit)


def padded_width(length: int, limit: int | None) -> int:
    """Returns the bucket of a length, limited by the model's positions."""
    if limit is not None and length > limit:
        raise UserError(f"a text of {length} tokens does not fit the model's {limit} positions")
    return bucket(length) if limit is None else min(bucket(length), limit)


def row_scores(objective: Objective, given: tuple[Any, State]) -> tuple[RowScores, State]:
    """Returns the objective's sums of every row, and the carry after them.

    Args:
        objective: the objective.
        given: features, and the carry before them or `()`.
    """
    features, carry = given
    outputs, after = outputs_and_carry(objective, features, carry, training=False)
    return objective.scores(features, outputs), after
