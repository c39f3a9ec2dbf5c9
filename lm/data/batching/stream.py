"""Streams of examples, endless or one pass: shuffled by index, preprocessed, mixed.

A task with stored tokens is shuffled as a whole: the order in epoch e is a pseudo-random
permutation of the indices, a function of the seed and e. The only state of such a stream is its
position.
"""

import logging
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.preprocessing import text_pairs
from lm.data.preprocessing.left_trim import append_eos_after_left_trim
from lm.data.preprocessing.shortening import shorten
from lm.data.registry import task_registry
from lm.data.storage import token_store
from lm.errors import UserError

_LOG = logging.getLogger(__name__)
Preprocessor = Callable[..., tf.data.Dataset]
Lengths = Mapping[str, int]

_ENDLESS = 2**62


class Steps(NamedTuple):
    """How examples are made: by the task's preprocessors, then by these.

    Attributes:
        lengths: TASK_FEATURE_LENGTHS, passed to preprocessors that take it.
        trims: the features that may be truncated; None means all, as in SeqIO.
        preprocessors: applied after the task's own.
        seed: of random preprocessors.
    """

    lengths: Lengths
    trims: Collection[str] | None = None
    preprocessors: Sequence[Preprocessor] = ()
    seed: int = 0


def one_pass(task: seqio.Task, split: str, steps: Steps) -> tf.data.Dataset:
    """Returns every example of a split once, in order."""
    store = token_store.open_store(task, split)
    if store is None:
        dataset = token_store.examples(task, split, seed=steps.seed)
    else:
        dataset = store.dataset(tf.data.Dataset.range(len(store)))
    return preprocess(task, dataset, steps)


def endless(task: seqio.Task, split: str, steps: Steps) -> tf.data.Dataset:
    """Returns the examples of a split endlessly, in a new order each epoch."""
    store, seed = token_store.open_store(task, split), steps.seed
    if store is None:
        dataset = task.source.get_dataset(split=split, shuffle=True, seed=seed)
        dataset = task.preprocess_precache(dataset, seed=seed).repeat()
    else:
        dataset = store.dataset(shuffled_indices(len(store), seed=seed, name=task.name))
        if all(map(_leaves_sizes, [*after_cache(task), *steps.preprocessors])):
            _report_cuts(task, split, store, _cut_to(steps))
    return preprocess(task, dataset, steps)


def mixed(
    provider: task_registry.Provider, split: str, steps: Steps, features: Sequence[str]
) -> tf.data.Dataset:
    """Returns the endless examples of a task, or of a mixture's tasks by their rates.

    Tasks of a mixture without the split are left out.

    Args:
        provider: the task or mixture.
        split: name of the split.
        steps: how examples are made.
        features: the ones to keep; tasks may differ in others.
    """
    tasks = task_registry.tasks(provider, split)
    streams = [keep(endless(task, split, steps), features) for task in tasks]
    if len(streams) == 1:
        return streams[0]
    return tf.data.Dataset.sample_from_datasets(
        streams, weights=rates(provider, split), seed=steps.seed
    )


def rates(provider: task_registry.Provider, split: str) -> list[float]:
    """Returns the mixing rate of each task, in the order of `task_registry.tasks`; the sum is 1.

    Raises:
        UserError: no task of a mixture has a positive rate.
    """
    tasks = task_registry.tasks(provider, split)
    if isinstance(provider, seqio.Task):
        return [1.0]
    raw = [provider.get_rate(task) for task in tasks]
    if not sum(raw) > 0:
        raise UserError(f"{provider.name}: no task with split {split!r} has a positive rate")
    return [rate / sum(raw) for rate in raw]


def shuffled_indices(count: int, *, seed: int, name: str) -> tf.data.Dataset:
    """Returns indices 0 … count − 1 endlessly, in a new pseudo-random order every epoch.

    Args:
        count: number of examples.
        seed: of the orders.
        name: of the task; gives tasks with the same seed different orders.
    """
    key = (seed ^ zlib.crc32(name.encode())) % 2**31

    def shuffled(position: tf.Tensor) -> tf.Tensor:
        epoch, index = position // count, position % count
        return tf.random.experimental.index_shuffle(index, tf.stack([key, epoch]), count - 1)

    return mapped(tf.data.Dataset.range(_ENDLESS), shuffled)


def preprocess(task: seqio.Task, dataset: tf.data.Dataset, steps: Steps) -> tf.data.Dataset:
    """Applies the task's preprocessors after the cache placeholder (or all), and those of `steps`.

    Random ones (`seqio.map_over_dataset(num_seeds=...)`) get seeds derived from the seed. Steps
    that truncate only get the lengths of the features in `trims`, so that they do not truncate
    features that a converter splits.
    """
    with seqio.utils.map_seed_manager(steps.seed):
        for step in [*after_cache(task), *steps.preprocessors]:
            lengths = _cut_to(steps) if step in _TRIMMING else steps.lengths
            given = {"sequence_length": lengths, "output_features": task.output_features}
            dataset = seqio.utils.add_kwargs_to_transform(step, **given)(dataset)
    return dataset


def after_cache(task: seqio.Task) -> list[Preprocessor]:
    """Returns the preprocessors that run again in every epoch."""
    steps = list(task.preprocessors)
    marks = [i for i, step in enumerate(steps) if isinstance(step, seqio.CacheDatasetPlaceholder)]
    return steps[marks[0] + 1 :] if marks else steps


def keep(dataset: tf.data.Dataset, features: Sequence[str]) -> tf.data.Dataset:
    """Returns the dataset with only these features, as far as they exist."""
    kept = [name for name in features if name in dataset.element_spec]
    return mapped(dataset, lambda example: {name: example[name] for name in kept})


_append_eos = seqio.preprocessors.append_eos
_TRIMMING = (seqio.preprocessors.append_eos_after_trim, append_eos_after_left_trim, shorten)


def _cut_to(steps: Steps) -> Lengths:
    """Returns the lengths of the features that may be truncated."""
    trims = steps.lengths if steps.trims is None else steps.trims
    return {name: length for name, length in steps.lengths.items() if name in trims}


def _report_cuts(
    task: seqio.Task, split: str, store: token_store.TokenStore, cut_to: Lengths
) -> None:
    """Logs how many examples are longer than their feature's length."""
    for name, length in cut_to.items():
        sizes = _sizes(task, store, name)
        if count := int((sizes > length).sum()):
            part = f"{count} of {len(sizes)} ({100 * count / len(sizes):.1f} %)"
            source = f"{task.name}/{split}"
            _LOG.warning("%s: %s %s are longer than %d and truncated", source, part, name, length)


def _leaves_sizes(step: Preprocessor) -> bool:
    """Returns whether the sizes after a step follow from those before it."""
    return step in (_append_eos, *_TRIMMING) or text_pairs.is_join(step)


def _sizes(task: seqio.Task, store: token_store.TokenStore, name: str) -> np.ndarray:
    """Returns the sizes of a feature after the task's last step, before truncation."""
    if name == text_pairs.FIRST and any(map(text_pairs.is_join, after_cache(task))):
        texts = [text for text in (name, text_pairs.SECOND) if text in store.columns]
        return text_pairs.joined_sizes(*map(store.sizes, texts))
    return store.sizes(name) + task.output_features[name].add_eos
