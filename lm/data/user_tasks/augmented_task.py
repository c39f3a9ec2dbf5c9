"""Unlabelled texts with an augmented copy of each, for consistency training."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import seqio
import tensorflow as tf

from lm.data.batching.semi_supervised import AUGMENTED, AUGMENTED_TYPES
from lm.data.mapping import mapped
from lm.data.preprocessing import text_pairs
from lm.data.preprocessing.classification_task import Preprocessor, chosen
from lm.data.registry import task_registry
from lm.data.rows.packing import Features, Lengths
from lm.data.storage import files, fingerprints
from lm.data.storage.record_cache import CachedSource
from lm.data.user_tasks import derived_tasks, user
from lm.errors import UserError
from lm.parts import value

Augmentation: TypeAlias = Callable[[Callable[[], Iterable[str]]], Iterator[str]]
"""A function that yields the texts at every call -> a copy of each."""


@value
def augmented_task(
    *,
    name: str = "augmented",
    task: str,
    column: str = "text",
    augment: Callable[[], Augmentation],
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = text_pairs.join,
) -> str:
    """Registers a task of another task's texts, each with an augmented copy; returns its name.

    The copies are made once and cached. Labels are ignored.

    Args:
        name: name of the new task.
        task: name of the task with the texts, such as `imdb_unsup`.
        column: the column of the text there.
        augment: factory of the augmentation, such as `word_replacement.WordReplacement` or
            `paraphrases.Paraphrases`.
        vocabulary: bytes with sentinels by default.
        join: makes the row of a text, as in `lm.data.preprocessing.text_pairs`.

    Raises:
        UserError: there is no such task or column.
    """
    found = task_registry.find(task)
    made = augment()
    settings = fingerprints.settings([made, join])
    if user.is_new(name, ["augmented", task, column, settings]):
        feature = text_pairs.row_feature(vocabulary)
        keys = {text_pairs.FIRST: column, AUGMENTED: AUGMENTED}
        seqio.TaskRegistry.add(
            name,
            source=_with_copies(found.source, column, made),
            preprocessors=[
                functools.partial(chosen, keys=keys),
                seqio.preprocessors.tokenize,
                seqio.CacheDatasetPlaceholder(),
                functools.partial(join_both, join=join),
            ],
            output_features={text_pairs.FIRST: feature, AUGMENTED: feature},
        )
    return name


def join_both(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Mapping[str, seqio.Feature],
    *,
    join: Preprocessor,
) -> tf.data.Dataset:
    """Adds the row of the copy to that of the text: `augmented` and `augmented_token_types`."""
    joining = seqio.utils.add_kwargs_to_transform(
        join, sequence_length=sequence_length, output_features=output_features
    )
    copies = joining(mapped(dataset, lambda example: {text_pairs.FIRST: example[AUGMENTED]}))

    def merged(example: Features, copy: Features) -> Features:
        renamed = {AUGMENTED: copy[text_pairs.FIRST], AUGMENTED_TYPES: copy["token_types"]}
        return {**example, **renamed}

    return mapped(tf.data.Dataset.zip(joining(dataset), copies), merged)


def texts(source: seqio.DataSource, split: str, column: str) -> Iterator[str]:
    """Yields the texts of a split.

    Raises:
        UserError: the source has no such column.
    """
    for row in derived_tasks.rows(source, split):
        if column not in row:
            raise UserError(f"the texts have no column {column!r}; there are {', '.join(row)}")
        yield row[column]


def _with_copies(source: seqio.DataSource, column: str, augment: Augmentation) -> CachedSource:
    """Returns a source of the texts and their copies."""
    bind = functools.partial
    return CachedSource(
        name=f"{getattr(source, 'name', 'texts')}-augmented",
        examples={split: bind(_pairs, source, split, column, augment) for split in source.splits},
        fingerprints={
            split: bind(_about, source, split, column, augment) for split in source.splits
        },
    )


def _pairs(
    source: seqio.DataSource, split: str, column: str, augment: Augmentation
) -> Iterator[dict[str, str]]:
    read = functools.partial(texts, source, split, column)
    for text, copy in zip(read(), augment(read), strict=True):
        yield {column: text, AUGMENTED: copy}


def _about(
    source: seqio.DataSource, split: str, column: str, augment: Augmentation
) -> Mapping[str, Any]:
    """Returns everything that determines texts and copies, with the files of an augmentation."""
    paths = [Path(path) for path in getattr(augment, "files", ())]
    return {
        "texts": fingerprints.source(source, split),
        "column": column,
        "augment": [fingerprints.describe(augment), fingerprints.settings(augment)],
        "files": files.fingerprint(files.expand(paths)),
    }
