"""Tasks derived from registered ones by changing the training rows."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import seqio

from lm.data.preprocessing.classification_task import chosen
from lm.data.registry import task_registry
from lm.data.registry.answers import LABEL, LabelVocabulary
from lm.data.storage import fingerprints
from lm.data.storage.plain import plain
from lm.data.storage.readers import Row
from lm.data.storage.record_cache import CachedSource
from lm.errors import UserError


def find(name: str) -> seqio.Task:
    """Returns a classification task.

    Raises:
        UserError: there is no task of that name, or it has no labels.
    """
    found = task_registry.find(name)
    feature = found.output_features.get(LABEL)
    if isinstance(found, seqio.Mixture) or not isinstance(
        feature and feature.vocabulary, LabelVocabulary
    ):
        raise UserError(f"{name} is no classification task; name one such as imdb")
    return found


def columns(task: seqio.Task) -> Mapping[str, str]:
    """Returns the columns that a task reads, by feature: `{"inputs": "text", "label": "label"}`.

    Raises:
        UserError: the columns are unknown.
    """
    first = task.preprocessors[0]
    if getattr(first, "func", None) is not chosen:
        raise UserError(f"{task.name} does not say which columns it reads")
    return first.keywords["keys"]


def rows(source: seqio.DataSource, split: str) -> Iterator[Row]:
    """Yields the rows of a split, with bytes as text."""
    for row in source.get_dataset(split, shuffle=False).as_numpy_iterator():
        yield plain(row)


def with_train(
    source: seqio.DataSource,
    examples: Callable[[], Iterable[Mapping[str, Any]]],
    about: Callable[[], Mapping[str, Any]],
) -> CachedSource:
    """Returns a source with other training rows.

    Args:
        source: of a registered task; its other splits are unchanged.
        examples: yields the training rows.
        about: returns what determines them besides the source, as plain JSON values.
    """
    bind = functools.partial
    others = [split for split in source.splits if split != "train"]
    return CachedSource(
        name=getattr(source, "name", "derived"),
        examples={"train": examples, **{split: bind(rows, source, split) for split in others}},
        fingerprints={
            "train": bind(_extended, source, about),
            **{split: bind(_as_it_is, source, split) for split in others},
        },
    )


def _as_it_is(source: seqio.DataSource, split: str) -> Mapping[str, Any]:
    return {"from": fingerprints.source(source, split)}


def _extended(
    source: seqio.DataSource, about: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    return {"from": fingerprints.source(source, "train"), **about()}
