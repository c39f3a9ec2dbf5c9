"""Finds tasks and mixtures by name, t5's among them, and gives them another vocabulary."""

import dataclasses
import difflib
import functools
import importlib
from collections.abc import Mapping
from typing import TypeAlias

import seqio

import gin
from lm.errors import UserError

Provider: TypeAlias = seqio.Task | seqio.Mixture


def get(name: str) -> Provider:
    """The task or mixture of that name; t5's own are registered when such a name is asked for.

    Raises:
        UserError: if neither a module imported so far nor t5 registers the name.
    """
    if name not in names():
        register_t5()
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(
            f"no task or mixture {name!r}{hint} (a gin file imports its module, such as "
            "`from tasks import multi30k`; `lm list tasks` shows all)"
        )
    return seqio.get_mixture_or_task(name)


def names() -> list[str]:
    """Names of all tasks and mixtures registered so far."""
    return sorted({*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()})


@functools.cache
def register_t5() -> None:
    """Register every task and mixture of t5; slow, hence only when one is wanted."""
    with gin.unlock_config():  # t5 adds configurables, which a run's locked configuration refuses
        importlib.import_module("t5.data.mixtures")  # which imports t5.data.tasks


def with_vocabulary(provider: Provider, vocabulary: seqio.Vocabulary | None) -> Provider:
    """The same task or mixture, its text features in another vocabulary.

    The copy keeps its name but is not in SeqIO's registry; what depends on the vocabulary beside
    the name, such as a cache key, must take `lm.data.vocabulary.fingerprint` along.

    Args:
        provider: a task, or a mixture of tasks and mixtures.
        vocabulary: the vocabulary of all features; None leaves everything as it is.
    """
    return provider if vocabulary is None else _copy(provider, vocabulary, {})


def _copy(provider: Provider, vocabulary: seqio.Vocabulary, made: dict[str, Provider]) -> Provider:
    """The copy of a task or mixture; one for each name, since a mixture adds rates by name."""
    if provider.name not in made:
        copy = _copy_task if isinstance(provider, seqio.Task) else _copy_mixture
        made[provider.name] = copy(provider, vocabulary, made)
    return made[provider.name]


def _copy_task(
    task: seqio.Task, vocabulary: seqio.Vocabulary, made: dict[str, Provider]
) -> seqio.Task:
    del made
    return task.replace(output_features=_with_vocabulary(task.output_features, vocabulary))


def _copy_mixture(
    mixture: seqio.Mixture, vocabulary: seqio.Vocabulary, made: dict[str, Provider]
) -> seqio.Mixture:
    parts = mixture._task_map  # SeqIO has no public name for a mixture's own parts
    rates = mixture.rate_per_task_name
    copies = [(_copy(part, vocabulary, made), rates[name]) for name, part in parts.items()]
    return seqio.Mixture(mixture.name, copies, sample_fn=mixture._sample_fn)


def _with_vocabulary(
    features: Mapping[str, seqio.Feature], vocabulary: seqio.Vocabulary
) -> dict[str, seqio.Feature]:
    """The features with the vocabulary, but for those that hold no text."""
    return {
        name: feature
        if isinstance(feature.vocabulary, seqio.PassThroughVocabulary)
        else dataclasses.replace(feature, vocabulary=vocabulary)
        for name, feature in features.items()
    }
