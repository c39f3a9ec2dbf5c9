"""The mean of the probabilities of two models is a model: search finds the same in both.

So it is of models that label.
"""

import keras
import numpy as np

from lm.decode.beam import BeamSearch
from lm.decode.token_ensemble import TokenEnsemble
from lm.objectives.label_ensemble import LabelEnsemble
from lm.objectives.labels import Labels, classes
from lm.objectives.regression import Regression
from tests.decode.trigram import EOS, Trigram, inputs, log_probs

PROMPTS = [[2, 3], [3], []]


def test_a_beam_over_two_models_is_one_over_their_mean():
    models = [Trigram(seed) for seed in (0, 1)]
    mean = Trigram()
    mean.table.assign(np.log(np.mean([np.exp(log_probs(model)) for model in models], axis=0)))
    for model in models:
        model.sides = ()
    search = BeamSearch(beam_size=5, max_new_tokens=4, eos_id=EOS, alpha=0.6)
    found, wanted = search(TokenEnsemble(models), inputs(PROMPTS)), search(mean, inputs(PROMPTS))
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


class Carrying(keras.Model):
    """Logits that are what was carried; the carry after is what was read."""

    sides = ()
    vocabulary_size = 2

    def call(self, features, carry=None):
        return (carry, features) if carry is not None else features

    def initial_carry(self, batch):
        return np.zeros((batch, 2), "float32")


def test_every_model_has_its_own_carry():
    made = TokenEnsemble([Carrying(), Carrying()])
    carry = made.initial_carry(1)
    assert len(carry) == 2
    features = np.log(np.array([[0.25, 0.75]], "float32"))
    logits, after = made(features, carry=carry)
    np.testing.assert_allclose(np.exp(logits), [[0.5, 0.5]], rtol=1e-6)
    logits, _ = made(features, carry=(after[0], carry[1]))
    np.testing.assert_allclose(np.exp(logits), [[0.375, 0.625]], rtol=1e-6)


class Outputs(keras.Model):
    """A model whose outputs are given."""

    sides = ("encoder",)

    def __init__(self, outputs):
        super().__init__(name="outputs")
        self.outputs_given = np.array(outputs, "float32")

    def call(self, features):
        return self.outputs_given


LABELS = {"labels": np.array([[1], [0]]), "label_weights": np.ones((2, 1), "float32")}


def test_labels_have_the_mean_of_the_probabilities():
    p = np.array([[[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.9, 0.1]]])  # of model, row, label
    models = [Outputs(logits) for logits in np.log(p)]
    made = LabelEnsemble(
        [Labels(model=lambda name, made=made: made, candidates=classes) for made in models]
    )
    outputs = made(LABELS)
    np.testing.assert_allclose(made.predictions(LABELS, outputs)[:, 0], p.mean(0), rtol=1e-6)
    rows = made.scores(LABELS, outputs)
    np.testing.assert_allclose(rows.log_likelihood, np.log([0.6, 0.7]), rtol=1e-6)
    np.testing.assert_allclose(made.terms(LABELS, outputs)["loss"].total, -np.log(0.42), rtol=1e-6)


def test_scores_have_their_mean():
    made = LabelEnsemble([Regression(model=lambda name, y=y: Outputs([[y]])) for y in (1.0, 2.0)])
    features = {"labels": np.array([[1.0]]), "label_weights": np.ones((1, 1), "float32")}
    np.testing.assert_allclose(made.predictions(features, made(features)), [[1.5]])
