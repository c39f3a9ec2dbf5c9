"""AdamW against NumPy, clipping, decay by path, the moving average, and the names of slots."""

import keras
import numpy as np
import pytest

from lm.optim import Optimizer, adafactor, adamw
from lm.optim.optimizer import UNDECAYED, global_norm, squares


def numpy(x):
    return np.asarray(x.value)


def apply(optimizer, *gradients):
    tensors = [keras.ops.convert_to_tensor(g, "float32") for g in gradients]
    optimizer.apply(tensors, global_norm(squares(tensors)))


def reference(weight, gradients, *, rate, decay, epsilon=1e-8):
    """AdamW in float64 with Keras' place for epsilon."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        weight = weight * (1 - rate * decay)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        alpha = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weight = weight - alpha * m / (np.sqrt(v) + epsilon)
    return weight


def test_adamw_equals_the_equations_and_spares_norms(variable):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(3, 3, 4))
    kernel, scale = variable(start, "layer/kernel"), variable(start, "layer_norm/scale")
    optimizer = adamw(learning_rate=0.01, weight_decay=0.5)
    optimizer.build([kernel, scale])
    for gradient in gradients:
        apply(optimizer, gradient, gradient)
    decayed = reference(start, gradients, rate=0.01, decay=0.5)
    spared = reference(start, gradients, rate=0.01, decay=0.0)
    np.testing.assert_allclose(numpy(kernel), decayed, atol=1e-6)
    np.testing.assert_allclose(numpy(scale), spared, atol=1e-6)


@pytest.mark.parametrize(
    ("path", "is_spared"),
    [
        ("decoder/layer_0/attention/query/kernel", False),
        ("decoder/layer_0/feed_forward/bias", True),
        ("decoder/final_norm/scale", True),
        ("embedding/table", True),
        ("decoder/layer_0/rms_norm/gamma", True),
    ],
)
def test_the_default_pattern_spares_norms_biases_and_embeddings(variable, path, is_spared):
    optimizer = adamw(learning_rate=1.0, weight_decay=0.5)
    weight = variable(np.ones(2), path)
    optimizer.build([weight])
    apply(optimizer, np.zeros(2))
    assert (float(weight[0]) == 1.0) == is_spared, UNDECAYED


def test_clipping_scales_all_gradients_by_the_global_norm(variable):
    weights = [variable(np.zeros(1), "a/kernel"), variable(np.zeros(1), "b/kernel")]
    rule = keras.optimizers.SGD(1.0, name="sgd")
    optimizer = Optimizer(rule=rule, clip_norm=1.0)
    optimizer.build(weights)
    apply(optimizer, [3.0], [4.0])
    np.testing.assert_allclose([float(w[0]) for w in weights], [-0.6, -0.8], rtol=1e-6)
    apply(optimizer, [0.3], [0.4])
    np.testing.assert_allclose([float(w[0]) for w in weights], [-0.9, -1.2], rtol=1e-6)


def test_the_average_starts_at_the_weights_and_follows_them(variable):
    weight = variable([2.0], "layer/kernel")
    optimizer = Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd"), average=0.75)
    optimizer.build([weight])
    apply(optimizer, [1.0])
    assert float(weight[0]) == 1.0
    assert float(optimizer.averages[0][0]) == pytest.approx(1.75)


@pytest.mark.parametrize("make", [adamw, adafactor])
def test_two_optimizers_in_one_process_have_the_same_unique_paths(variable, make):
    def paths():
        optimizer = make(learning_rate=0.1, average=0.9)
        optimizer.build([variable(np.zeros(2), f"layer_{i}/{n}") for i in (0, 1) for n in "ab"])
        return [v.path for v in optimizer.variables]

    first = paths()
    assert len(first) == len(set(first))
    assert paths() == first
