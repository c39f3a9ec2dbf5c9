"""The tasks of ELECTRA's discriminator on a text with replaced tokens.

A task is a function (outputs, corrupted text) → terms, including `discriminator_loss`:

    detect_all       was the token replaced? at every token: ELECTRA
    detect_chosen    the same, at the chosen positions alone: ELECTRA 15 %
    restore_chosen   which token was there? at the chosen positions: Replace MLM
    restore_all      the same, at every token, which may be copied: All-Tokens MLM

Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), sections 2 and 3.4.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from keras import ops

from lm.nn.copy_head import CopyLogits
from lm.objectives.cross_entropy import likelihood
from lm.objectives.objective import Ratio
from lm.parts import part
from lm.types import Tensor


class Corrupted(NamedTuple):
    """A text with a generator's samples at the chosen positions, [B, T] each.

    Attributes:
        tokens: int32, the input of the discriminator.
        original: int32, the original text.
        is_real: float32, 1 where a token is not padding.
        is_chosen: float32, 1 where the token was sampled by the generator.
    """

    tokens: Tensor
    original: Tensor
    is_real: Tensor
    is_chosen: Tensor

    @property
    def is_replaced(self) -> Tensor:
        """1 where the token differs from the original; a sample may equal it."""
        return as_float(ops.not_equal(self.tokens, self.original)) * self.is_real


Task: TypeAlias = Callable[[Any, Corrupted], Mapping[str, Ratio]]


@part
def detect_all(logits: Tensor, text: Corrupted) -> dict[str, Ratio]:
    """Which tokens are replaced, by logits [B, T, 1]: binary cross entropy over all tokens."""
    return detection(logits, text, text.is_real)


@part
def detect_chosen(logits: Tensor, text: Corrupted) -> dict[str, Ratio]:
    """Which of the chosen tokens are replaced, by logits [B, T, 1]."""
    return detection(logits, text, text.is_chosen)


@part
def restore_chosen(logits: Tensor, text: Corrupted) -> dict[str, Ratio]:
    """The original token at the chosen positions, by logits [B, T, V]."""
    found = likelihood(ops.cast(logits, "float32"), text.original)
    return restoration(found.log_prob, found.correct, text.is_chosen)


@part
def restore_all(outputs: CopyLogits, text: Corrupted) -> dict[str, Ratio]:
    """The original of every token, by a head that may copy the input token."""
    copy = ops.cast(outputs.copy, "float32")
    found = likelihood(ops.cast(outputs.tokens, "float32"), text.original)
    is_original = ops.equal(text.tokens, text.original)
    drawn = found.log_prob - ops.softplus(copy)  # log (1 - c) p
    log_original = ops.logaddexp(drawn, -ops.softplus(-copy))  # log (c + (1 - c) p)
    correct = ops.where(copy > 0, as_float(is_original), found.correct)
    return restoration(ops.where(is_original, log_original, drawn), correct, text.is_real)


def detection(logits: Tensor, text: Corrupted, weights: Tensor) -> dict[str, Ratio]:
    """Returns loss, accuracy, area under the curve and recall of the replaced tokens."""
    x, is_replaced = ops.cast(logits, "float32")[..., 0], text.is_replaced
    loss = ops.softplus(x) - x * is_replaced
    correct = as_float(ops.equal(x > 0, is_replaced > 0))
    weight, replaced = ops.sum(weights), weights * is_replaced
    return {
        "discriminator_loss": Ratio(ops.sum(loss * weights), weight),
        "discriminator_accuracy": Ratio(ops.sum(correct * weights), weight),
        "discriminator_auc": pairs_in_order(x, replaced, weights - replaced),
        "replaced_recall": Ratio(ops.sum(correct * replaced), ops.sum(replaced)),
    }


def restoration(log_prob: Tensor, correct: Tensor, weights: Tensor) -> dict[str, Ratio]:
    """Returns loss and accuracy of restored tokens."""
    weight = ops.sum(weights)
    return {
        "discriminator_loss": Ratio(-ops.sum(log_prob * weights), weight),
        "discriminator_accuracy": Ratio(ops.sum(correct * weights), weight),
    }


def pairs_in_order(x: Tensor, positive: Tensor, negative: Tensor) -> Ratio:
    """Returns in how many pairs the positive token has the larger x (ties: half), and their number.

    The ratio is the area under the ROC curve. Pairs are formed within rows, so that sums over rows
    do not depend on the batches.

    Args:
        x: [B, T].
        positive: 1 where a token belongs to this class, [B, T].
        negative: 1 where it belongs to that, [B, T].

    Example:
        >>> x, positive = ops.array([[1.0, 3.0, 2.0]]), ops.array([[0.0, 1.0, 0.0]])
        >>> [float(sum) for sum in pairs_in_order(x, positive, 1 - positive)]
        [2.0, 2.0]
    """
    one, other = x[:, :, None], x[:, None, :]  # [B, T, T]
    is_in_order = as_float(one > other) + 0.5 * as_float(ops.equal(one, other))
    is_pair = positive[:, :, None] * negative[:, None, :]
    return Ratio(ops.sum(is_in_order * is_pair), ops.sum(is_pair))


def as_float(condition: Tensor) -> Tensor:
    """Returns 1 where a condition is true, else 0."""
    return ops.cast(condition, "float32")
