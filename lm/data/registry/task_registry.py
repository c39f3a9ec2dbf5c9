"""Tasks and mixtures by name: those of `tasks`, of t5 and of a user's own modules.

A module's name begins the names that it registers: `multi30k_ende` is `tasks.multi30k`'s. A gin
file imports the modules it uses; `find` serves the verbs that take a task's name.
"""

import dataclasses
import difflib
import functools
import importlib
import logging
import pkgutil
from collections.abc import Mapping
from typing import TypeAlias

import seqio

import gin
from lm.data.registry import on_demand
from lm.errors import UserError

_LOG = logging.getLogger(__name__)
Provider: TypeAlias = seqio.Task | seqio.Mixture

AVAILABLE = "_available"  # after the name of a mixture: those of its tasks whose data are here
NO_TASKS = ("support", "zero_shot")  # packages of `tasks` that register nothing


def task_modules() -> list[str]:
    """Returns the names of the task modules, without `tasks.` before them; imports none of them.

    Example:
        >>> "multi30k" in task_modules(), "support" in task_modules()
        (True, False)
    """
    folders = importlib.import_module("tasks").__path__
    names = (found.name for found in pkgutil.iter_modules(folders))
    return sorted(name for name in names if name not in NO_TASKS)


def import_modules() -> None:
    """Imports every task module."""
    for module in task_modules():
        importlib.import_module(f"tasks.{module}")


def task_names() -> set[str]:
    """Returns the names of the tasks registered so far."""
    return set(seqio.TaskRegistry.names())


def mixture_names() -> set[str]:
    """Returns the names of the mixtures registered so far."""
    return set(seqio.MixtureRegistry.names())


def names() -> list[str]:
    """Returns the names of all tasks and mixtures registered so far."""
    return sorted(task_names() | mixture_names())


def find(name: str) -> Provider:
    """Returns the task or mixture of a name, from `tasks`, t5 or modules imported before.

    Raises:
        UserError: the name is unknown; suggests the nearest one.
    """
    for module in task_modules():
        if name.startswith(module):
            importlib.import_module(f"tasks.{module}")
    if not _is_known(name):
        import_modules()
        register_t5()
    return get(name)


def get(name: str) -> Provider:
    """Returns the task or mixture of a name; rule-made names and t5's are registered on demand.

    Raises:
        UserError: neither a module imported so far nor t5 registers the name.
    """
    if not _is_known(name):
        register_t5()
    if name not in names():
        near = difflib.get_close_matches(name, [*names(), *on_demand.names()], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(
            f"no task or mixture {name!r}{hint} (a gin file imports its module, such as "
            "`from tasks import multi30k`; `lm list tasks` shows all)"
        )
    return seqio.get_mixture_or_task(name)


def _is_known(name: str) -> bool:
    """Returns whether a name is registered, if need be by the family it belongs to."""
    if name not in names():
        on_demand.register(name)
    if name not in names() and name.endswith(AVAILABLE):
        _register_available(name)
    return name in names()


def _register_available(name: str) -> None:
    """Registers `<mixture>_available`: the tasks whose data are on this machine."""
    whole = name.removesuffix(AVAILABLE)
    if not _is_known(whole) or whole not in mixture_names():
        return
    mixture = seqio.get_mixture_or_task(whole)
    missing = missing_data(mixture)
    held = [
        part
        for part in _parts(mixture).values()
        if any(task.name not in missing for task in seqio.get_subtasks(part))
    ]
    if not held:
        raise UserError(f"{whole}: no task has its data on this machine")
    if missing:
        _LOG.warning("%s leaves out %d: %s", name, len(missing), ", ".join(missing))
    rates = mixture.rate_per_task_name
    seqio.MixtureRegistry.add(name, [(_available(part), rates[part.name]) for part in held])


def _available(part: Provider) -> Provider:
    """Returns a task itself; of a mixture, the tasks whose data are here."""
    return part if isinstance(part, seqio.Task) else get(part.name + AVAILABLE)


def _parts(mixture: seqio.Mixture) -> Mapping[str, Provider]:
    """Returns the tasks and mixtures that a mixture was made of, by name."""
    return mixture._task_map  # SeqIO has no public name for them


@functools.cache
def register_t5() -> None:
    """Registers every task and mixture of t5; slow, hence only on demand."""
    with gin.unlock_config():  # t5 adds configurables, which a run's locked configuration refuses
        importlib.import_module("t5.data.mixtures")  # which imports t5.data.tasks


def provider(name: str, split: str, vocabulary: seqio.Vocabulary | None = None) -> Provider:
    """Returns the task or mixture of a name, ready to read a split of it.

    Args:
        name: name of a registered task or mixture.
        split: a split it must have.
        vocabulary: replaces that of every text feature, if given.

    Raises:
        UserError: the name, the split or the data are missing; says the nearest name, the splits
            or the command that downloads the data.
    """
    found = get(name)
    if split not in found.splits:
        known = ", ".join(sorted(found.splits)) or "none"
        raise UserError(f"{name} has no split {split!r}; it has: {known}")
    require_data(found, split)
    return with_vocabulary(found, vocabulary)


def task(name: str, split: str, vocabulary: seqio.Vocabulary | None = None) -> seqio.Task:
    """Returns the task of a name, ready to read a split of it; arguments as in `provider`.

    Raises:
        UserError: as `provider`; or it is the name of a mixture.
    """
    found = provider(name, split, vocabulary)
    if isinstance(found, seqio.Mixture):
        parts = ", ".join(part.name for part in found.tasks)
        raise UserError(f"{name!r} is a mixture; name one of its tasks: {parts}")
    return found


def tasks(found: Provider, split: str) -> list[seqio.Task]:
    """Returns the task itself, or the tasks of a mixture that have the split."""
    return [part for part in seqio.get_subtasks(found) if split in part.splits]


def require_data(provider: Provider, split: str) -> None:
    """Checks that a task's data are on this machine; does not use the network.

    Args:
        provider: a task or mixture; sources without such a check are passed over.
        split: the split that will be read.

    Raises:
        UserError: with the command that downloads a missing data set, and the names of all tasks of
            a mixture without their data.
    """
    missing = missing_data(provider, split)
    if not missing:
        return
    error = next(iter(missing.values()))
    if isinstance(provider, seqio.Task) or len(missing) == 1:
        raise error
    raise UserError(
        f"{provider.name}: {len(missing)} of {len(provider.tasks)} tasks miss their data: "
        f"{', '.join(missing)}. The first: {error}. To train on the others alone, name the mixture "
        f"{provider.name}{AVAILABLE}"
    )


def missing_data(provider: Provider, split: str | None = None) -> dict[str, UserError]:
    """Returns task -> error for every task whose data are not on this machine.

    Args:
        provider: a task or mixture.
        split: the split that will be read; all of a task's by default.
    """
    missing = {}
    for task in seqio.get_subtasks(provider):
        try:
            for name in [split] if split else task.source.splits:
                _require(task, name)
        except UserError as error:
            missing[task.name] = error
    return missing


def _require(task: seqio.Task, split: str) -> None:
    if isinstance(task.source, seqio.TfdsDataSource):
        require_tfds(task.name, task.source, split)
    elif (require := getattr(task.source, "require", None)) and split in task.source.splits:
        require(split)


def require_tfds(task: str, source: seqio.TfdsDataSource, split: str) -> None:
    """Checks that TFDS has prepared the data of a task.

    Raises:
        UserError: with the command that prepares them.
    """
    name, folder = source.tfds_dataset.get_split_params(split)
    fetch = f"tfds build {name}" + (f" --data_dir={folder}" if folder else "")
    try:
        is_there = source.tfds_dataset.builder.is_prepared()
    except Exception as error:  # TFDS raises types of its own for names and versions gone
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{task}: TFDS cannot open {name!r} ({reason})") from error
    if not is_there:
        raise UserError(
            f"{task}: the data are not on this machine; `{fetch}` fetches them "
            "(or set TFDS_DATA_DIR to the folder that holds them)"
        )


def with_vocabulary(provider: Provider, vocabulary: seqio.Vocabulary | None) -> Provider:
    """Returns the same task or mixture with another vocabulary for its text features.

    The copy keeps its name but is not in SeqIO's registry. A cache key that depends on the
    vocabulary must contain `lm.data.vocabulary.fingerprint`.

    Args:
        provider: a task, or a mixture of tasks and mixtures.
        vocabulary: the vocabulary of all features; None leaves everything as it is.
    """
    return provider if vocabulary is None else _copy(provider, vocabulary, {})


def _copy(provider: Provider, vocabulary: seqio.Vocabulary, made: dict[str, Provider]) -> Provider:
    """Returns a copy; one for each name, since a mixture adds rates by name."""
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
    rates = mixture.rate_per_task_name
    parts = _parts(mixture).items()
    copies = [(_copy(part, vocabulary, made), rates[name]) for name, part in parts]
    return seqio.Mixture(mixture.name, copies, sample_fn=mixture._sample_fn)


def _with_vocabulary(
    features: Mapping[str, seqio.Feature], vocabulary: seqio.Vocabulary
) -> dict[str, seqio.Feature]:
    """Returns the features, those of text with the vocabulary."""
    return {
        name: feature
        if isinstance(feature.vocabulary, seqio.PassThroughVocabulary)
        else dataclasses.replace(feature, vocabulary=vocabulary)
        for name, feature in features.items()
    }
