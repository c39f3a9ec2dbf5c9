"""How the next token is chosen: filters on logits, then a picker.

A filter maps logits [B, V] to logits [B, V]; -inf forbids a token. A picker maps them, with the
rows' keys and the step, to tokens, int32 [B].
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from keras import ops

from lm.decode.noise import gumbel

Filter = Callable[[Any], Any]
Picker = Callable[[Any, Any, Any], Any]


def temperature(value: float) -> Filter:
    """Divides logits by the temperature, p_i ∝ p_i^(1/T): below 1 sharper, above 1 flatter.

    Args:
        value: T > 0; 0.88 in Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977).

    Example:
        >>> logits = temperature(0.5)(ops.log([[0.5, 0.25, 0.25]]))
        >>> [round(float(p), 3) for p in ops.softmax(logits)[0]]
        [0.667, 0.167, 0.167]
    """
    if value <= 0:
        raise ValueError(f"temperature must be above 0, got {value}; greedy search needs none")
    return lambda logits: logits / value


def top_k(count: int) -> Filter:
    """Keeps the `count` most probable tokens, and those tied with the last of them.

    Source: Fan et al. 2018 (https://arxiv.org/abs/1805.04833).
    """
    if count < 1:
        raise ValueError(f"top_k must be at least 1, got {count}; None keeps all tokens")

    def keep(logits: Any) -> Any:
        values, _ = ops.top_k(logits, min(count, logits.shape[-1]))
        return at_least(logits, values[..., -1:])

    return keep


def top_p(mass: float) -> Filter:
    """Keeps the smallest set of most probable tokens whose probabilities add up to `mass`.

    Source: Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751).
    """
    if not 0 < mass <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {mass}")

    def keep(logits: Any) -> Any:
        ordered = -ops.sort(-logits, axis=-1)
        probabilities = ops.softmax(ordered, axis=-1)
        mass_before = ops.cumsum(probabilities, axis=-1) - probabilities
        ordered = ops.where(mass_before < mass, ordered, float("inf"))
        return at_least(logits, ops.min(ordered, axis=-1, keepdims=True))

    return keep


def at_least(logits: Any, least: Any) -> Any:
    """Forbids tokens with smaller logits, [B, V] and [B, 1]."""
    return ops.where(logits >= least, logits, float("-inf"))


def greedy(logits: Any, keys: Any, step: Any) -> Any:
    """Picks the most probable token."""
    del keys, step
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def draw(logits: Any, keys: Any, step: Any) -> Any:
    """Picks a token with its probability, `argmax(logits + Gumbel noise)`."""
    noise = gumbel(keys, step, logits.shape[-1])
    return ops.cast(ops.argmax(logits + noise, axis=-1), "int32")


def drawn_from(filters: Sequence[Filter]) -> Picker:
    """Returns a picker that draws after applying filters, in order."""

    def pick(logits: Any, keys: Any, step: Any) -> Any:
        return draw(reduce(lambda x, keep: keep(x), filters, logits), keys, step)

    return pick
