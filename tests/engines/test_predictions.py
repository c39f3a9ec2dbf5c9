"""What an objective predicts, as an engine yields it: with averaged weights, changing no state."""

import keras
import numpy as np

from lm.engines import get
from lm.objectives.labels import Labels, classes
from lm.optim import adamw
from tests.batches import batch
from tests.built import ROWS
from tests.catalogue import classifier
from tests.engine import assert_near, numpy

LENGTH = 12


def test_predictions_are_those_of_the_averaged_weights():
    objective = Labels(model=classifier, candidates=classes)
    features = batch(objective.model, ROWS, LENGTH)
    features |= {
        "labels": np.array([[1], [0]], "int32"),
        "label_weights": np.ones((2, 1), "float32"),
    }
    engine = get()(
        objective=objective, optimizer=adamw(learning_rate=0.1, average=0.5), features=features
    )
    for _ in range(2):
        engine.step(features)
    ((terms, found), (_, again)) = engine.predictions([features, features])
    (evaluated,) = engine.evaluations([features])
    np.testing.assert_array_equal(numpy(found), numpy(again))  # no dropout, nothing drawn
    assert found.shape == (2, 1, 2)
    for name, ratio in evaluated.items():
        assert_near(numpy(terms[name]), numpy(ratio), 1e-6)
    engine.pull()
    with keras.StatelessScope(state_mapping=engine.program.averaged()):
        outputs = objective(features, training=False)
        expected = numpy(objective.predictions(features, outputs))
    assert_near(numpy(found), expected, 1e-6)
