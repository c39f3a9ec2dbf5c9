"""Trained models joined to one that averages their probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lm.decode.ensemble import Ensemble
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.objectives.token_prediction import TokenPrediction


def joined(members: Mapping[str, Trained]) -> Trained:
    """Returns the first of the models with the mean probabilities of all in place of its own.

    Args:
        members: run folder -> model; the first one's vocabulary, lengths and settings are kept.

    Raises:
        UserError: naming the run that cannot be averaged with the first.
    """
    (name, first), *others = members.items()
    for other, trained in others:
        check(name, first, other, trained)
    ensemble = Ensemble([member.model for member in members.values()])
    checkpoints = [member.metadata.get("checkpoint") for member in members.values()]
    return replace(
        first,
        objective=TokenPrediction(model=lambda name: ensemble),
        metadata={**first.metadata, "ensemble": checkpoints},
        generators={},
        programs={},
    )


def check(name: str, first: Trained, other: str, trained: Trained) -> None:
    """Refuses a model that predicts other tokens or reads its inputs in another way."""
    differences: Sequence[tuple[str, object, object]] = [
        ("objective", type(first.objective).__name__, type(trained.objective).__name__),
        ("kind of model", first.kind, trained.kind),
        ("tokenizer", first.metadata.get("tokenizer"), trained.metadata.get("tokenizer")),
        ("vocabulary", first.model.vocabulary_size, trained.model.vocabulary_size),
        ("carry", first.is_carried, trained.is_carried),
    ]
    for what, here, there in differences:
        if here != there:
            raise UserError(
                f"--ensemble: {other} cannot be averaged with {name}: its {what} is {there}, not "
                f"{here}"
            )
    if not isinstance(first.objective, TokenPrediction):
        raise UserError(f"--ensemble: {type(first.objective).__name__} has no mean of tokens")
