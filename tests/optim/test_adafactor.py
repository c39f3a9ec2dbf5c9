"""Adafactor against a NumPy transcription of its equations, and the properties T5 relies on."""

import keras
import numpy as np
import pytest

from lm.optim.adafactor import Adafactor, factored_axes


def reference(weight, gradients, *, rate, factored):
    """Adafactor in float64, from the equations of the paper (two dimensions)."""
    weight, row, column, full = weight.astype("float64"), 0.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        square = gradient.astype("float64") ** 2 + 1e-30
        b = 1 - t**-0.8
        row = b * row + (1 - b) * square.mean(1)
        column = b * column + (1 - b) * square.mean(0)
        full = b * full + (1 - b) * square
        second = np.outer(row, column) / np.mean(row) if factored else full
        update = gradient / np.sqrt(second)
        update /= max(1.0, np.sqrt(np.mean(update**2)))
        weight = weight - rate * max(np.sqrt(np.mean(weight**2)), 1e-3) * update
    return weight


@pytest.fixture
def after(variable):
    """Returns a function: the weight after one update per gradient, and the rule."""

    def run(value, gradients, **options):
        weight = variable(value)
        rule = Adafactor(learning_rate=0.01, **options)
        rule.build([weight])
        for gradient in gradients:
            rule.apply([keras.ops.convert_to_tensor(gradient, "float32")])
        return np.asarray(weight.value), rule

    return run


@pytest.mark.parametrize("min_factored", [2, 128])
def test_three_updates_equal_the_equations(after, min_factored):
    rng = np.random.default_rng(0)
    weight, gradients = (
        rng.normal(size=(5, 7)),
        rng.normal(size=(3, 5, 7)) * [[[0.1]], [[1]], [[9]]],
    )
    expected = reference(weight, gradients, rate=0.01, factored=min_factored == 2)
    value, _ = after(weight, gradients, min_factored=min_factored)
    np.testing.assert_allclose(value, expected, atol=1e-6)


def test_three_dimensions_factor_the_two_largest_apart(after):
    rng = np.random.default_rng(1)
    weight, gradient = rng.normal(size=(2, 6, 5)), rng.normal(size=(2, 6, 5))
    weight /= np.sqrt(np.mean(weight**2, axis=(1, 2), keepdims=True))
    value, _ = after(weight, [gradient], min_factored=4, clip_threshold=1e9)
    square = gradient**2
    row, column = square.mean(2, keepdims=True), square.mean(1, keepdims=True)
    update = gradient / np.sqrt(row * column / row.mean(1, keepdims=True))
    np.testing.assert_allclose(value, weight - 0.01 * update, atol=1e-6)


def test_a_rank_one_square_gives_the_same_update_factored_or_not(after):
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(256, 256))
    signs = rng.choice([-1.0, 1.0], size=(256, 256))
    gradient = signs * np.sqrt(np.outer(rng.uniform(1, 2, 256), rng.uniform(1, 2, 256)))
    factored, _ = after(weight, [gradient])
    full, _ = after(weight, [gradient], min_factored=512)
    np.testing.assert_allclose(factored, full, atol=1e-6)


def test_the_update_is_clipped_to_its_threshold(after):
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(64, 64)).astype("float32")
    gradients = [rng.normal(size=(64, 64)), 100 * rng.normal(size=(64, 64))]
    before, _ = after(weight, gradients[:1])
    value, _ = after(weight, gradients)
    scale = 0.01 * np.sqrt(np.mean(before**2))
    assert np.sqrt(np.mean(((value - before) / scale) ** 2)) <= 1.0 + 1e-4


def test_a_variable_of_zeros_moves(after):
    value, _ = after(np.zeros(4), [np.ones(4)])
    np.testing.assert_allclose(value, -0.01 * 1e-3 * np.ones(4), rtol=1e-5)


def test_the_first_second_moment_is_the_square(after):
    gradient = np.array([0.5, -2.0])
    _, rule = after(np.ones(2), [gradient])
    np.testing.assert_array_equal(np.asarray(rule.variables[-1].value), gradient**2)


def test_only_two_large_dimensions_are_factored():
    assert factored_axes((127, 4096), 128) is None
    assert factored_axes((128, 4096), 128) == (0, 1)
    assert factored_axes((4096,), 128) is None


def test_the_factored_moments_take_one_number_per_row_and_column(variable):
    rule = Adafactor(learning_rate=0.1)
    rule.build([variable(np.zeros((128, 256)))])
    shapes = {v.path: tuple(v.shape) for v in rule.variables if "layer" in v.path}
    assert shapes == {
        "adafactor/layer_kernel_row": (128,),
        "adafactor/layer_kernel_column": (256,),
    }
