"""What an objective predicts, as an engine yields it: with averaged weights, changing no state."""

import keras
import numpy as np
import pytest

from lm.engines import get
from lm.objectives.labels import Labels, choices, classes, positions
from lm.optim import adamw
from tests.batches import batch
from tests.built import ROWS
from tests.catalogue import CLASSIFIER, family, part
from tests.engine import assert_near, numpy

LENGTH = 12
HEADS = {
    classes: {"NUM_LABELS": 2},
    choices: {"NUM_LABELS": 1},
    positions: {"NUM_LABELS": 2},
}
SHAPES = {classes: (2, 1, 2), choices: (2, 1, 3), positions: (2, 2, LENGTH)}
EVERY_TOKEN = "../objectives/spans.gin"


def model(candidates, name):
    del name
    files = [*CLASSIFIER, *([EVERY_TOKEN] if candidates is positions else [])]
    return family(*files, NUM_LAYERS=1, **HEADS[candidates])()


def labelled(objective, candidates):
    """A batch with labels: of rows, of their three choices, or of spans."""
    features = batch(objective.model, ROWS, LENGTH)
    if candidates is choices:
        features = {name: np.stack([x] * 3, axis=1) for name, x in features.items()}
        features["encoder_segment_ids"][1, 2] = 0  # the last row has but two
    count = 2 if candidates is positions else 1
    labels = np.array([[1] * count, [0] * count], "int32")
    return features | {"labels": labels, "label_weights": np.ones((2, count), "float32")}


@pytest.mark.parametrize(
    "candidates",
    [classes, *(pytest.param(form, marks=pytest.mark.slow) for form in (choices, positions))],
    ids=lambda function: function.__name__,
)
def test_predictions_are_those_of_the_averaged_weights(candidates):
    objective = Labels(model=part(model, candidates=candidates), candidates=candidates)
    features = labelled(objective, candidates)
    engine = get()(
        objective=objective, optimizer=adamw(learning_rate=0.1, average=0.5), features=features
    )
    for _ in range(2):
        engine.step(features)
    ((terms, found), (_, again)) = engine.predictions([features, features])
    (evaluated,) = engine.evaluations([features])
    np.testing.assert_array_equal(numpy(found), numpy(again))  # no dropout, nothing drawn
    assert found.shape == SHAPES[candidates]
    assert_near(numpy(found).sum(-1), np.ones(found.shape[:2]), 1e-6)
    for name, ratio in evaluated.items():
        assert_near(numpy(terms[name]), numpy(ratio), 1e-6)
    engine.pull()
    with keras.StatelessScope(state_mapping=engine.program.averaged()):
        outputs = objective(features, training=False)
        expected = numpy(objective.predictions(features, outputs))
    assert_near(numpy(found), expected, 1e-6)
