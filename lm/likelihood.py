"""What a total negative log-likelihood comes to: perplexity and bits per unit of text.

Training, evaluation, scoring and the metric functions divide their sums here and nowhere else.
"""

import math


def perplexity(nats: float, count: float) -> float:
    """Returns exp(nats / count), infinity where that is no float; nothing counts as one.

    Example:
        >>> round(perplexity(4 * math.log(8), 4), 9), perplexity(1e6, 1), perplexity(0.0, 0)
        (8.0, inf, 1.0)
    """
    try:
        return math.exp(nats / (count or 1))
    except OverflowError:
        return math.inf


def bits(nats: float, count: float) -> float:
    """Returns nats / (count · ln 2): bits per byte if bytes are counted; nothing counts as one.

    Example:
        >>> bits(8 * math.log(2), 4)
        2.0
    """
    return nats / (count or 1) / math.log(2)
