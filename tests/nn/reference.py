"""The equations of the layers in NumPy, float64."""

import math

import numpy as np

ERF = np.vectorize(math.erf)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(x, memory, w, heads, scale, mask=None, bias=None, rotate=lambda x: x):
    """softmax(q kᵀ scale + bias) v W_o; w holds kernels and biases by "query/kernel", …"""

    def project(y, name):
        y = y @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)
        return y.reshape(*y.shape[:2], heads, -1).transpose(0, 2, 1, 3)  # [B, H, T, K]

    q, k, v = rotate(project(x, "query")), rotate(project(memory, "key")), project(memory, "value")
    logits = q @ k.swapaxes(-1, -2) * scale + (0 if bias is None else bias)
    if mask is not None:
        logits = np.where(mask[:, None], logits, -np.inf)
    y = (softmax(logits) @ v).transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)
    return y @ w["output/kernel"] + w.get("output/bias", 0)


def rotate(x, positions, longest=10_000.0):
    """Pairs (i, i + K/2) as complex numbers times exp(i · position · longest^(-2i/K))."""
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * longest ** (-np.arange(half) / half)
    pairs = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([pairs.real, pairs.imag], -1)


def layer_norm(x, scale, bias, epsilon):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(
        x.var(-1, keepdims=True) + epsilon
    ) * scale + bias


def rms_norm(x, scale, epsilon):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * scale


def gelu_erf(x):
    return x * (1 + ERF(x / math.sqrt(2))) / 2


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sinusoid(positions, width, longest=10_000.0):
    half = width // 2
    angles = positions[..., None] / longest ** (np.arange(half) / (half - 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], -1)


def weights(layer):
    """Returns the weights of a layer by the last two parts of their paths, float64."""
    found = {"/".join(v.path.split("/")[-2:]): v for v in layer.trainable_variables}
    return {name: np.asarray(v.value).astype("float64") for name, v in found.items()}
