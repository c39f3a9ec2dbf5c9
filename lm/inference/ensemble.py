"""Joins trained models into one that averages their probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lm.data.registry.answers import names_of_labels
from lm.decode.token_ensemble import TokenEnsemble
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.objectives.label_ensemble import LabelEnsemble
from lm.objectives.objective import Objective
from lm.objectives.permutation import Permutation
from lm.objectives.token_prediction import TokenPrediction

PREDICT_TOKENS = (TokenPrediction, Permutation)
Differences = Sequence[tuple[str, object, object]]


def joined(members: Mapping[str, Trained]) -> Trained:
    """Returns the first model with the mean probabilities of all models.

    Models of tokens average the probabilities of every token, classifiers those of their labels.

    Args:
        members: run folder -> model; vocabulary, lengths and settings are those of the first one.

    Raises:
        UserError: naming a run that cannot be averaged with the first.
    """
    (name, first), *others = members.items()
    for other, trained in others:
        check(name, first, other, trained)
    checkpoints = [member.metadata.get("checkpoint") for member in members.values()]
    return replace(
        first,
        objective=mean([member.objective for member in members.values()]),
        metadata={**first.metadata, "ensemble": checkpoints},
        generators={},
        programs={},
    )


def mean(objectives: Sequence[Objective]) -> Objective:
    """Returns an objective that averages the probabilities of objectives of the same type."""
    first = objectives[0]
    if not isinstance(first, PREDICT_TOKENS):
        return LabelEnsemble(objectives)
    ensemble = TokenEnsemble([objective.model for objective in objectives])
    return type(first)(model=lambda name: ensemble)


def check(name: str, first: Trained, other: str, trained: Trained) -> None:
    """Refuses a model with other predictions or another input format."""
    if not (first.predicts_labels or isinstance(first.objective, PREDICT_TOKENS)):
        found = type(first.objective).__name__
        raise UserError(f"--ensemble: {found} predicts neither tokens nor labels: it has no mean")
    for what, here, there in differences(first, trained):
        if here != there:
            raise UserError(
                f"--ensemble: {other} cannot be averaged with {name}: its {what} is {there}, not "
                f"{here}"
            )


def differences(first: Trained, trained: Trained) -> Differences:
    """Returns the properties that must be equal, with their values in both models."""
    shared: Differences = [
        ("objective", type(first.objective).__name__, type(trained.objective).__name__),
        ("tokenizer", first.metadata.get("tokenizer"), trained.metadata.get("tokenizer")),
    ]
    if first.predicts_labels:
        here, there = (list(names_of_labels(one.features)) for one in (first, trained))
        return [*shared, ("task", first.task, trained.task), ("list of labels", here, there)]
    here, there = (list(one.converter().task_features) for one in (first, trained))
    return [
        *shared,
        ("sides", list(first.model.sides), list(trained.model.sides)),
        ("list of features", here, there),
        ("vocabulary", first.model.vocabulary_size, trained.model.vocabulary_size),
        ("carry", first.is_carried, trained.is_carried),
    ]
