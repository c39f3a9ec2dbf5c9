"""The log-likelihood of given texts: the entry function of `lm score`, `score.score` in gin."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from lm.decode.prompts import START, bucket
from lm.decode.targets import EMPTY, Pair
from lm.errors import UserError
from lm.objectives.carry import outputs_and_carry
from lm.objectives.token_prediction import targets_and_weights
from lm.ranges import Size
from lm.trained import Trained, position_limit


class Score(NamedTuple):
    """What a model thinks of one text.

    Attributes:
        log_likelihood: Σ log p(token) over the targets, in nats.
        tokens: number of target tokens, the end token included.
        is_greedy: whether every target token is the most probable one in its place.
        bits_per_byte: -log₂ p per byte of the target text; None where there is no text.
    """

    log_likelihood: float
    tokens: int
    is_greedy: bool
    bits_per_byte: float | None


def score(
    *,
    trained: Trained,
    examples: Sequence[Mapping[str, str]],
    add_eos: bool | None = None,
    batch_size: Size = 16,
) -> list[Score]:
    """Returns the score of every example, in order.

    Args:
        trained: the model.
        examples: `{"inputs": …, "targets": …}` or `{"text": …}`; the targets are scored.
        add_eos: whether the end token is scored too; by default as the task has it.
        batch_size: texts that are read at a time; changes nothing but speed.

    Raises:
        UserError: naming the example that lacks a text or is too long.
    """
    pairs = [pair_of(trained, e, number, add_eos=add_eos) for number, e in enumerate(examples, 1)]
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


def pair_of(
    trained: Trained, example: Mapping[str, str], number: int, *, add_eos: bool | None = None
) -> Pair:
    """Returns inputs and targets as ids."""
    text, inputs = targets_text(example), example.get("inputs", "")
    if text is None:
        have = ", ".join(example) or "nothing"
        raise UserError(f'example {number} needs "targets" or "text"; it has {have}')
    if trained.reader.reads_inputs and "inputs" not in example:
        raise UserError(f'example {number} needs "inputs": the model is a {trained.kind}')
    targets = trained.ids(text, "targets", add_eos=add_eos)
    return (trained.prompt_ids(inputs) if inputs else [], targets)


def targets_text(example: Mapping[str, str]) -> str | None:
    """Returns the text to score."""
    return example.get("targets", example.get("text"))


def bits_per_byte(log_likelihood: float, text: str | None) -> float | None:
    """Returns -log₂ p over the bytes of the text."""
    size = len((text or "").encode())
    return -float(log_likelihood) / math.log(2) / size if size else None


def score_pairs(trained: Trained, pairs: Sequence[Pair], *, batch_size: int) -> np.ndarray:
    """Returns [number of pairs, 2], float64: log-likelihood, and targets that are most probable.

    Raises:
        UserError: a pair is too long for the model.
    """
    if trained.goes_on:
        return read_on(trained, pairs, batch_size=batch_size)
    make = trained.reader.row
    program = trained.program(row_sums)
    rows = [(place, row) for place, pair in enumerate(pairs) for row in cut(trained, pair)]
    rows.sort(key=lambda numbered: -sum(map(len, numbered[1])))
    sums = np.zeros((len(pairs), 2))
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        chosen = [row for _, row in batch]
        chosen += [chosen[0]] * (min(batch_size, len(rows)) - len(batch))
        found, _ = program((make(chosen, *widths(trained, chosen)), ()))
        for (place, _), row_sum in zip(batch, np.stack(found, axis=1), strict=False):
            sums[place] += row_sum[:2]
    return sums


def read_on(trained: Trained, pairs: Sequence[Pair], *, batch_size: int) -> np.ndarray:
    """Returns the same, every row of a text read with the rows before it, as in training."""
    texts = [windows(trained, pair) for pair in pairs]
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    sums = np.zeros((len(pairs), 2))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        filling: list[list[Pair]] = [[]] * (min(batch_size, len(order)) - len(chosen))
        for found in row_by_row(trained, [texts[i] for i in chosen] + filling):
            sums[chosen] += found[: len(chosen), :2]
    return sums


def row_by_row(trained: Trained, texts: Sequence[Sequence[Pair]]) -> Iterator[np.ndarray]:
    """Yields the sums of the first row of every text, [texts, 3], then of the second, and so on."""
    program, carry = trained.program(row_sums), trained.objective.initial_carry(len(texts))
    last = [START] * len(texts)
    for number in range(max(map(len, texts))):
        rows = [text[number] if number < len(text) else EMPTY for text in texts]
        features = trained.reader.row(rows, *widths(trained, rows))
        features["decoder_input_tokens"][:, 0] = last
        features["decoder_continues"] = np.full(len(texts), number > 0, "int32")
        found, carry = program((features, carry))
        last = [[START, *row[0], *row[1]][-1] for row in rows]
        yield np.stack(found, axis=1)


def cut(trained: Trained, pair: Pair) -> list[Pair]:
    """Returns those windows of a text that hold targets: each is read without the one before.

    So was a language model trained and so is it evaluated; other models take a text whole.
    """
    if trained.reader.reads_inputs:
        return [pair]
    return [(inputs, targets) for inputs, targets in windows(trained, pair) if targets]


def windows(trained: Trained, pair: Pair) -> list[Pair]:
    """Returns a text as rows of at most the training's length, what is only read apart."""
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
    model = trained.model
    if hasattr(model, "encoder"):
        encoder, decoder = position_limit(model.encoder), position_limit(model.decoder)
        return padded_width(max(inputs, 1), encoder), padded_width(targets, decoder)
    total = max(len(inputs) + len(targets) for inputs, targets in pairs)
    return 0, padded_width(total, position_limit(model.decoder))


def padded_width(length: int, limit: int | None) -> int:
    """Returns the bucket of a length, no wider than the model allows."""
    if limit is not None and length > limit:
        raise UserError(f"a text of {length} tokens does not fit the model's {limit} positions")
    return bucket(length) if limit is None else min(bucket(length), limit)


def row_sums(objective: Any, given: tuple[Any, Any]) -> tuple[tuple[Any, Any, Any], Any]:
    """Returns for each row [B]: Σ w·log p(target), Σ w·[target is most probable], Σ w; and a carry.

    Args:
        objective: the objective.
        given: features, and the carry before them or `()`.
    """
    features, carry = given
    outputs, after = outputs_and_carry(objective, features, carry, training=False)
    targets, weights = targets_and_weights(features)
    correct = ops.cast(ops.argmax(outputs, axis=-1), "int32") == targets
    sums = (
        objective.scores(features, outputs),
        ops.sum(ops.cast(correct, "float32") * weights, axis=-1),
        ops.sum(weights, axis=-1),
    )
    return sums, after
