"""Means of the weights: from an update on, or from the evaluation that is no longer better."""

import keras
import numpy as np
import pytest

from lm.optim.averages import NonMonotonic, Uniform
from lm.optim.optimizer import Optimizer, global_norm, squares


def descent(variable, average):
    """Gradient descent of one weight, and the functions that update it and read its mean."""
    weight = variable([0.0])
    optimizer = Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd"), average=average)
    optimizer.build([weight])

    def update(gradient):
        gradients = [keras.ops.full((1,), float(gradient))]
        optimizer.apply(gradients, global_norm(squares(gradients)))
        return float(weight[0]), float(optimizer.averages[0][0])

    return optimizer, update


def test_a_uniform_average_is_the_mean_of_the_weights_from_its_start(variable):
    _, update = descent(variable, Uniform(start=2))
    values, means = zip(*map(update, range(5)), strict=True)
    wanted = [*values[:2], *(np.mean(values[2 : i + 1]) for i in range(2, 5))]
    np.testing.assert_allclose(means, wanted, rtol=1e-6)


def first_no_better(losses, patience):
    """Algorithm 1 of Merity et al. 2017: the number of the evaluation that starts the mean."""
    logs = []
    for t, v in enumerate(losses):
        if t > patience and v > min(logs[: t - patience]):
            return t
        logs.append(v)
    return None


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_the_mean_begins_where_the_paper_s_algorithm_begins_it(patience):
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses = np.float32(rng.normal(size=12) - 0.2 * np.arange(12)).tolist()
        average = NonMonotonic(patience=patience)
        average.build()
        begins = [average.add(loss, update) for update, loss in enumerate(losses)]
        wanted = first_no_better(losses, patience)
        assert [i for i, begun in enumerate(begins) if begun] == (
            [] if wanted is None else [wanted]
        )


def test_until_then_the_mean_is_the_weights_and_then_theirs(variable):
    optimizer, update = descent(variable, NonMonotonic(patience=1))
    values, means = [], []
    for step, loss in enumerate([3.0, 1.0, 2.0, 3.5, 0.0, 9.0]):
        value, mean = update(step)
        values.append(value)
        means.append(mean)
        assert optimizer.evaluated(loss) == (step == 3)  # 3.5 > min(3, 1)
    np.testing.assert_allclose(means[:5], values[:5])  # the mean begins with update 4
    assert means[5] == pytest.approx(np.mean(values[4:]))
    assert [v.path for v in optimizer.slots][-3:] == [
        "average/start",
        "average/least",
        "average/recent",
    ]
