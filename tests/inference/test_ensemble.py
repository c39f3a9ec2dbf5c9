"""Which runs can be averaged with which."""

import types

import pytest

from lm.data.registry.answers import LabelVocabulary
from lm.errors import UserError
from lm.inference import ensemble


class Discrimination:
    """An objective that predicts neither tokens nor labels."""


def test_what_predicts_neither_tokens_nor_labels_has_no_mean():
    one = types.SimpleNamespace(predicts_labels=False, objective=Discrimination())
    with pytest.raises(UserError, match="--ensemble: Discrimination predicts neither tokens nor"):
        ensemble.joined({"a": one, "b": one})


def test_a_classifier_of_other_labels_is_refused():
    def trained(task, *names):
        label = types.SimpleNamespace(vocabulary=LabelVocabulary({name: name for name in names}))
        return types.SimpleNamespace(
            predicts_labels=True,
            objective=Discrimination(),
            metadata={},
            task=task,
            features={"label": label},
        )

    with pytest.raises(UserError, match="b cannot be averaged with a: its task is mine, not imdb"):
        ensemble.joined({"a": trained("imdb", "no"), "b": trained("mine", "no")})
    with pytest.raises(UserError, match=r"its list of labels is \['yes'\], not \['no'\]"):
        ensemble.joined({"a": trained("imdb", "no"), "b": trained("imdb", "yes")})
