"""Perplexity and bits per unit of text, from a total negative log-likelihood.

The only place where training, evaluation, scoring and the metric functions divide their sums.
"""

import math


def perplexity(nats: float, count: float) -> float:
    """Returns exp(nats / count), or infinity if that overflows; a count of 0 counts as 1.

    Example:
        >>> round(perplexity(4 * math.log(8), 4), 9), perplexity(1e6, 1), perplexity(0.0, 0)
        (8.0, inf, 1.0)
    """
    try:
        return math.exp(nats / (count or 1))
    except OverflowError:
        return math.inf


def bits(nats: float, count: float) -> float:
    """Returns nats / (count · ln 2): bits per byte if `count` is in bytes; 0 counts as 1.

    Example:
        >>> bits(8 * math.log(2), 4)
        2.0
    """
    return nats / (count or 1) / math.log(2)
