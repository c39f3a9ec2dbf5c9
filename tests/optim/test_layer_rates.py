"""Rates by depth against ELECTRA's rule, frozen weights, and what they leave unchanged."""

import keras
import numpy as np
import pytest

from lm.errors import UserError
from lm.optim import adamw
from lm.optim.layer_rates import ByDepth, depths
from lm.optim.optimizer import global_norm, squares
from tests.golden import trees
from tests.optim.test_optimizer import apply, numpy, reference

PATHS = ["embedding/table", "stack/layer_0_0/kernel", "stack/layer_1_0/kernel", "head/kernel"]


def tree(name):
    """Paths of a full model, in its order."""
    lines = (trees.FOLDER / f"{name}.txt").read_text().splitlines()
    return [line.partition(" ")[0] for line in lines]


@pytest.mark.parametrize(("name", "layers"), [("bert_base", 12), ("funnel_b4_4_4", 12)])
def test_depths_of_whole_models(name, layers):
    paths = tree(name)
    found = dict(zip(paths, depths(paths), strict=True))
    assert found[paths[0]] == 0
    assert sorted(set(found.values()) - {0, layers + 2}) == list(range(1, layers + 1))
    numbers = [depth for path, depth in found.items() if "layer_1_0/" in path]
    assert set(numbers) <= {2}


def test_two_stacks_are_numbered_through():
    found = dict(zip(paths := tree("t5_small"), depths(paths), strict=True))
    assert max(found.values()) == 6 + 6 + 2
    assert found["encoder_decoder/encoder/after_rms_norm/scale"] == 6
    assert found["encoder_decoder/decoder/layer_0_0/self_attention/heads/query/kernel"] == 7


def test_updates_equal_adamw_at_electras_rates(variable):
    rng = np.random.default_rng(0)
    starts, gradients = rng.normal(size=(4, 3)), rng.normal(size=(3, 4, 3))
    weights = [variable(start, path) for start, path in zip(starts, PATHS, strict=True)]
    optimizer = adamw(
        learning_rate=0.01, weight_decay=0.5, undecayed="table",
        layer_rates=lambda: ByDepth(decay=0.8),
    )  # fmt: skip
    optimizer.build(weights)
    for step in gradients:
        apply(optimizer, *step)
    for number, power in enumerate((4, 3, 2, 0)):  # N + 2 - d for N = 2
        expected = reference(
            starts[number],
            gradients[:, number],
            rate=0.01 * 0.8**power,
            decay=0.5 if number else 0.0,
        )
        np.testing.assert_allclose(numpy(weights[number]), expected, atol=1e-6)


def test_layers_start_to_learn_from_the_head_down(variable):
    weights = [variable([1.0], path) for path in PATHS]
    rates = ByDepth(decay=1.0, unfreeze_steps=2)
    optimizer = adamw(learning_rate=0.1, weight_decay=0.0, layer_rates=lambda: rates)
    optimizer.build(weights)
    moved = []
    for _ in range(7):
        before = [float(weight[0]) for weight in weights]
        apply(optimizer, *[[1.0]] * 4)
        pairs = zip(before, weights, strict=True)
        moved.append([old != float(weight[0]) for old, weight in pairs])
    starts = [[step[i] for step in moved].index(True) for i in range(4)]
    assert starts == [6, 4, 2, 0]


def test_a_frozen_weight_is_not_trained(variable):
    weights = [variable([1.0], path) for path in PATHS]
    optimizer = adamw(learning_rate=0.1, frozen="embedding|layer_0_")
    optimizer.freeze(weights)
    assert [weight.trainable for weight in weights] == [False, False, True, True]
    trained = [weight for weight in weights if weight.trainable]
    optimizer.build(trained)
    assert sum("layer" in slot.path or "head" in slot.path for slot in optimizer.slots) == 4
    optimizer.apply([keras.ops.ones(1)] * 2, global_norm(squares([keras.ops.ones(1)] * 2)))
    assert [float(weight[0]) == 1.0 for weight in weights] == [True, True, False, False]


@pytest.mark.parametrize(
    ("frozen", "what"), [("layers_0", "matches no weight"), (".", "matches every weight")]
)
def test_a_pattern_of_nothing_or_everything_is_refused(variable, frozen, what):
    weights = [variable([1.0], path) for path in PATHS]
    with pytest.raises(UserError, match=what) as found:
        adamw(learning_rate=0.1, frozen=frozen).freeze(weights)
    assert "embedding/table, head/kernel" in str(found.value)


def test_models_without_layers_and_rates_out_of_range_are_refused():
    with pytest.raises(UserError, match="no weight belongs to a layer; paths are like a/b"):
        depths(["a/b"])
    with pytest.raises(UserError, match=r"ByDepth\.decay = 0: must be above 0"):
        ByDepth(decay=0)
