"""Batches of windows over the documents of a task, for paragraph and word vectors.

    tokens of a document → kept words → rows: context, nodes, labels → batches

A row predicts a word from the words around it and from its document, identified by its position in
the split. The batches do not come from tf.data: the saved position is the number of documents begun
and the position of each stream in its document. A thread prepares the next batch during a step.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import seqio

from lm.data.batching import iterator_position
from lm.data.batching.pipeline import row_fingerprint, task_fingerprint, vocabulary_sizes
from lm.data.paragraphs import draws
from lm.data.paragraphs.document_store import documents
from lm.data.paragraphs.documents import FEATURE, Documents
from lm.data.paragraphs.row_streams import RowStreams, batch_of
from lm.data.paragraphs.word_windows import WordWindows, keep_probabilities
from lm.data.paragraphs.words import WordVocabulary
from lm.data.registry import task_registry
from lm.data.special_ids import SPECIAL_IDS
from lm.data.storage import fingerprints
from lm.errors import ConfigError, UserError
from lm.parts import part, value
from lm.ranges import NonNegativeFloat, PositiveInt, Seed
from lm.types import Batch

_NO_EPOCH = 2**32


def word_counts(task: seqio.Task, split: str) -> np.ndarray:
    """Returns the counts of all ids: from a vocabulary with word counts, else from the split."""
    vocabulary = task.output_features[FEATURE].vocabulary
    known = getattr(vocabulary, "counts", None)
    return documents(task, split).counts() if known is None else known


@part
class WindowBatches:
    """Infinite batches of windows over the documents of a split; see `batches.Batches`.

    Features: `documents` int32 [B]; if there is a context, `context` int32 [B, C] and
    `context_weights` [B, C]; `nodes` int32 [B, M], `labels` and `node_weights` [B, M].

    Args:
        mixture_or_task_name: name of a registered task with a feature `targets`.
        split: name of the split.
        windows: factory of the windows.
        batch_size: rows of a batch.
        seed: decides the order of documents and all draws.
        streams: documents read side by side, a divisor of `batch_size`: many if a batch is one
            update, 1 if each row is an update.
        vocabulary: replaces the task's vocabulary, if given.
        num_documents: rows of the model's document table, to be checked; None if it has none.

    Raises:
        UserError: the split has a different number of documents, or no words.
    """

    def __init__(
        self,
        *,
        mixture_or_task_name: str,
        split: str = "train",
        windows: Callable[[], WordWindows],
        batch_size: PositiveInt,
        seed: Seed,
        streams: PositiveInt = 1,
        vocabulary: seqio.Vocabulary | None = None,
        num_documents: PositiveInt | None = None,
    ) -> None:
        task, made = task_registry.task(mixture_or_task_name, split, vocabulary), windows()
        found = documents(task, split)
        _check(found, task.name, split, num_documents)
        if batch_size % streams:
            raise ConfigError(f"BATCH_SIZE = {batch_size} is no multiple of streams = {streams}")
        self.vocabulary_sizes = vocabulary_sizes(task, split, (FEATURE,))
        self.wait_seconds = 0.0
        self._batch_size, self._streams = batch_size, streams
        settings = made.settings(word_counts(task, split))
        self._rows = RowStreams(found, settings, count=streams, seed=seed)
        self._fingerprint = {
            **task_fingerprint(task, split),
            **row_fingerprint({}, fingerprints.settings(made), (), seed),
            "batch_size": batch_size,
            "streams": streams,
        }
        self.features = _specs(self._rows.settings, batch_size)
        self._worker = ThreadPoolExecutor(1)
        self._position = self._rows.state()
        self._drawing: Future[tuple[Batch, dict[str, Any]]] | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        start = time.perf_counter()
        batch, self._position = (self._drawing or self._worker.submit(self._draw)).result()
        self._drawing = self._worker.submit(self._draw)
        self.wait_seconds += time.perf_counter() - start
        return batch

    def fingerprint(self) -> dict[str, Any]:
        """Returns everything that determines the batches."""
        return dict(self._fingerprint)

    def state(self) -> bytes:
        """Returns the position, to be restored in this or another process."""
        saved = {"fingerprint": self._fingerprint, "position": self._position}
        return json.dumps(saved).encode()

    def restore(self, state: bytes, *, allow_changes: Collection[str] = ()) -> None:
        """Restores a saved position; arguments and errors as in `batches.Batches`."""
        try:
            saved = json.loads(state)
            old, position = saved["fingerprint"], saved["position"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"the saved position in the data is damaged: {error}") from error
        iterator_position.check(old, self._fingerprint, allow_changes=allow_changes)
        if self._drawing:
            self._drawing.result()
        self._drawing, self._position = None, position
        self._rows.restore(position)

    def _draw(self) -> tuple[Batch, dict[str, Any]]:
        """Returns the next batch and the position after it."""
        batch = batch_of(self._rows.take(self._batch_size // self._streams))
        return batch, self._rows.state()


@part
def evaluation_windows(
    *,
    mixture_or_task_name: str,
    split: str,
    lengths: Mapping[str, int],
    batch_size: PositiveInt,
    windows: Callable[[], WordWindows],
    vocabulary: seqio.Vocabulary | None = None,
    num_documents: PositiveInt | None = None,
) -> Iterator[Batch]:
    """Yields the windows of every document of a split once, with draws that no epoch uses.

    Arguments as in `WindowBatches`; `lengths` is ignored.
    """
    del lengths
    task = task_registry.task(mixture_or_task_name, split, vocabulary)
    found, settings = documents(task, split), windows().settings(word_counts(task, split))
    _check(found, task.name, split, num_documents)
    for number in range(len(found)):
        rows = draws.rows_of(found[number], draws.key_of(0, _NO_EPOCH, number), settings)
        rows.documents[:] = number
        for first in range(0, len(rows.nodes), batch_size):
            yield batch_of(draws.Rows(*(x[first : first + batch_size] for x in rows)))


@value
def steps(
    *,
    vocabulary: seqio.Vocabulary | None,
    windows: Callable[[], WordWindows],
    batch_size: PositiveInt,
    epochs: NonNegativeFloat,
) -> int:
    """Returns the number of batches in some epochs over the corpus whose words were counted.

    It is the expected number, since sub-sampling is random, for documents that are long beside the
    words that a row predicts.

    Args:
        vocabulary: words with their counts.
        windows: factory of the windows.
        batch_size: rows of a batch.
        epochs: number of epochs.

    Raises:
        ConfigError: the vocabulary has no counts.
    """
    if not isinstance(vocabulary, WordVocabulary):
        raise ConfigError("VOCABULARY does not know how often its words are there: set TRAIN_STEPS")
    made = windows()
    kept = float(keep_probabilities(vocabulary.counts, made.sample) @ vocabulary.counts)
    return max(1, math.ceil(epochs * kept / (made.predicted * batch_size)))


class RowSpec(NamedTuple):
    """Shape and dtype of a feature of a batch."""

    shape: tuple[int, ...]
    dtype: str


def _specs(settings: draws.Settings, batch_size: int) -> dict[str, RowSpec]:
    """Returns shape and dtype of every feature of a batch."""
    rows = draws.empty_rows(0, settings)
    return {
        name: RowSpec((batch_size, *x.shape[1:]), x.dtype.name)
        for name, x in batch_of(rows).items()
    }


def _check(found: Documents, name: str, split: str, num_documents: int | None) -> None:
    """Checks the documents against the model's table.

    Raises:
        UserError: the number of documents differs, or they contain no words.
    """
    if num_documents not in (None, len(found)):
        raise UserError(
            f"{name}/{split} has {len(found)} documents, the model {num_documents}: set "
            f"NUM_DOCUMENTS = {len(found)}"
        )
    if not found.counts()[SPECIAL_IDS:].any():
        raise UserError(
            f"{name}/{split}: no token is a word of the vocabulary; look at `lm show {name}`"
        )
