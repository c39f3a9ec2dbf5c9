"""LabelHead against NumPy: what stands for a row, and what padding may not change."""

import numpy as np
import pytest
from keras import activations

from lm.nn import label_head
from tests.built import noise
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, fill, numpy

SEGMENTS = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], "int32")
EXPECTED = {
    label_head.first: lambda x: x[:, 0],
    label_head.last: lambda x: np.stack([x[0, 4], x[1, 1]]),
    label_head.mean: lambda x: np.stack([x[0].mean(0), x[1, :2].mean(0)]),
    label_head.every: lambda x: x,
}


@pytest.mark.parametrize("summary", EXPECTED, ids=lambda summary: summary.__name__)
def test_scores_are_those_of_the_summary(summary):
    hidden = part(label_head.Hidden, activation=activations.tanh)
    head = label_head.LabelHead(num_labels=3, summary=summary, layers=[hidden], name="head")
    x = noise(0, 2, 5)
    found = numpy(head(x, x, SEGMENTS))
    fill(head)
    found = numpy(head(x, x, SEGMENTS))
    values = {v.path: numpy(v.value).astype("float64") for v in head.trainable_variables}
    first, scores = "head/layer_hidden/dense", "head/scores"
    inner = np.tanh(EXPECTED[summary](x) @ values[f"{first}/kernel"] + values[f"{first}/bias"])
    assert_near(found, inner @ values[f"{scores}/kernel"] + values[f"{scores}/bias"], 1e-6)


@pytest.mark.parametrize("summary", [label_head.last, label_head.mean])
def test_without_segments_all_positions_are_real(summary):
    x = noise(1, 2, 4)
    assert_near(summary(x, None), summary(x, np.ones((2, 4), "int32")), 1e-6)


def test_padding_changes_nothing():
    x = noise(2, 2, 5)
    other = np.where(SEGMENTS[..., None] > 0, x, 7.0).astype("float32")
    assert x.shape[-1] == WIDTH
    for summary in (label_head.last, label_head.mean):
        np.testing.assert_array_equal(*map(numpy, (summary(y, SEGMENTS) for y in (x, other))))
