"""Cross entropy of logits that never exist as a whole: made, weighed and dropped part by part."""

from typing import Any, NamedTuple

import keras
from keras import ops

from lm.nn.heads import Factors, whole


class Target(NamedTuple):
    """What a position should predict: targets int32 [N], weights float32 [N]."""

    tokens: Any
    weights: Any


def sums(
    factors: Factors, target: Target, *, chunks: int, label_smoothing: float, z_loss: float
) -> Any:
    """Returns Σ w·loss, Σ w·cross entropy and Σ w·correct, float32 [3].

    Gradients flow from the first sum alone. They are made beside it, while the logits of a part
    exist: with p = softmax(logits), the gradient of a position's loss is

        w · ((1 + 2·z_loss·log Z)·p - (1 - ε)·onehot(target) - ε/V)

    Nothing is computed twice, and N·V/chunks numbers are the most that is kept.

    Args:
        factors: of the logits [N, V]: x [N, D], kernel [V, D], bias [V] or ().
        target: of N positions.
        chunks: number of parts; the last is filled up with positions of weight 0.
        label_smoothing: ε.
        z_loss: weight of (log Z)².
    """
    if keras.utils.is_keras_tensor(factors.x):
        return keras.KerasTensor((3,), "float32")  # shapes alone: nothing to differentiate
    from_end = -factors.x.shape[0] % chunks
    target = Target(*(ops.pad(part, [[0, from_end]]) for part in target))
    size = target.tokens.shape[0] // chunks

    def part(i: Any, x: Any, kernel: Any, *bias: Any) -> tuple[Any, Any, Any]:
        """Returns x of the part, the gradient of its logits, and its sums."""
        x = ops.slice(x, (i * size, 0), (size, x.shape[1]))
        tokens, weights = (ops.slice(y, (i * size,), (size,)) for y in target)
        logits = ops.cast(whole(Factors(x, kernel, *bias)), "float32")  # [n, V]
        top = ops.max(logits, axis=-1, keepdims=True)
        powers = ops.exp(logits - top)
        total = ops.sum(powers, axis=-1, keepdims=True)
        log_z = (ops.log(total) + top)[:, 0]
        hit = ops.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
        cross_entropy = log_z - hit
        smooth = log_z - ops.mean(logits, axis=-1) if label_smoothing else cross_entropy
        loss = (1 - label_smoothing) * cross_entropy + label_smoothing * smooth
        loss = loss + z_loss * ops.square(log_z)
        found = ops.stack([loss, cross_entropy, ops.cast(hit >= top[:, 0], "float32")])
        scale = (weights * (1 + 2 * z_loss * log_z))[:, None] / total
        is_target = ops.arange(logits.shape[-1], dtype="int32")[None] == tokens[:, None]
        rest = ops.where(is_target, 1 - label_smoothing, 0.0) + label_smoothing / logits.shape[-1]
        return x, powers * scale - rest * weights[:, None], ops.sum(found * weights, axis=-1)

    def add(i: Any, carry: tuple, inputs: tuple) -> tuple:
        """Adds the sums and gradients of one part; a kernel's gradient lies as [D, V]."""
        total, by_x, by_kernel, *by_bias = carry
        x, slope, found = part(i, *inputs)
        narrow = ops.cast(slope, x.dtype)
        by_x = ops.slice_update(by_x, (i * size, 0), ops.matmul(narrow, inputs[1]))
        by_kernel = by_kernel + ops.cast(ops.matmul(ops.transpose(x), narrow), "float32")
        return total + found, by_x, by_kernel, *(b + ops.sum(slope, axis=0) for b in by_bias)

    @ops.custom_gradient
    def f(x: Any, kernel: Any, *bias: Any) -> tuple[Any, Any]:
        zeros = [ops.zeros(x.shape, x.dtype), ops.zeros(kernel.shape[::-1], "float32")]
        carry = (ops.zeros(3), *zeros, *(ops.zeros(b.shape) for b in bias))
        inputs = (x, kernel, *bias)
        total, by_x, by_kernel, *by_bias = ops.fori_loop(
            0, chunks, lambda i, carry: add(i, carry, inputs), carry
        )

        def gradient(*upstream: Any, **given: Any) -> tuple[Any, ...]:
            scale = (given.get("upstream") or upstream)[0][0]
            pairs = zip(inputs, [by_x, ops.transpose(by_kernel), *by_bias], strict=True)
            return tuple(ops.cast(scale * g, v.dtype) for v, g in pairs)

        return total, gradient

    padded = ops.pad(factors.x, [[0, from_end], [0, 0]])
    return f(padded, factors.kernel, *([factors.bias] if has_bias(factors) else []))


class Likelihood(NamedTuple):
    """How probable a token is at each position, float32 [...].

    Attributes:
        log_prob: log p(token).
        correct: 1 where no other token is more probable, else 0.
        log_z: log Σ exp(logits), the normaliser.
    """

    log_prob: Any
    correct: Any
    log_z: Any


def likelihood(logits: Any, tokens: Any) -> Likelihood:
    """Returns how probable tokens [...] are by logits float32 [..., V]."""
    log_z = ops.logsumexp(logits, axis=-1)
    hit = at(logits, tokens)
    # The same as an argmax but for ties, at a tenth of a CPU step less.
    correct = ops.cast(hit >= ops.max(logits, axis=-1), "float32")
    return Likelihood(hit - log_z, correct, log_z)


def likelihood_by_parts(factors: Factors, tokens: Any, *, chunks: int) -> Likelihood:
    """Returns the same for tokens [N] of factored logits, of which no more than a part exists."""
    size = -(-tokens.shape[0] // chunks)
    found = []
    for start in range(0, tokens.shape[0], size):
        part = factors._replace(x=factors.x[start : start + size])
        logits = ops.cast(whole(part), "float32")
        found.append(likelihood(logits, tokens[start : start + size]))
    return Likelihood(*map(ops.concatenate, zip(*found, strict=True)))


def flat(factors: Factors) -> Factors:
    """Returns the factors with all positions in one row, [B, T, D] → [N, D]."""
    return factors._replace(x=ops.reshape(factors.x, (-1, factors.x.shape[-1])))


def has_bias(factors: Factors) -> bool:
    """Whether logits have a bias."""
    return not isinstance(factors.bias, tuple)


def at(logits: Any, targets: Any) -> Any:
    """Returns logits[..., targets[...]], [...]."""
    return ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
