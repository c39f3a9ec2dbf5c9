"""The documents of a split as tokens, written to disk once and memory-mapped from there.

A corpus may be larger than memory. Its tokens are a memory-mapped file of the cache; memory holds
only the start of each document, 8 bytes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import seqio

from lm.data.paragraphs.documents import FEATURE, Documents
from lm.data.storage import files, token_store
from lm.errors import UserError

_TOKENS, _OFFSETS = "tokens.int32", "offsets.npy"
_TEXTS = 512
_UNLIMITED = 2**62


def documents(task: seqio.Task, split: str) -> Documents:
    """Returns the documents of a split; they are tokenized only once.

    Raises:
        UserError: the task tokenizes anew in every epoch, or has no such feature.
    """
    if not task.supports_caching or FEATURE not in task.output_features:
        raise UserError(
            f"{task.name}: paragraph vectors read {FEATURE!r} of a task whose tokens are kept "
            "(seqio.CacheDatasetPlaceholder), such as imdb_paragraphs or user.text_task"
        )
    size = int(task.output_features[FEATURE].vocabulary.vocab_size)
    folder = token_store.folder_of("documents", task, split)
    if folder is None:  # the source has no fingerprint
        store: Any = token_store.open_store(task, split, limit=_UNLIMITED)
        column = store.columns[FEATURE]
        return Documents(column.values, column.offsets, size)
    if files.read_manifest(folder) is None:
        texts = token_store.examples(task, split).map(lambda example: {FEATURE: example[FEATURE]})
        write(folder, (_cut(batch[FEATURE]) for batch in texts.ragged_batch(_TEXTS).prefetch(1)))
    return read(folder, size)


def write(folder: Path, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes documents one batch at a time.

    Args:
        folder: folder to write.
        batches: concatenated tokens of several documents, and the length of each document.

    Raises:
        UserError: there are no tokens, or the disk is full.
    """
    sizes = [np.zeros(1, np.int64)]
    with files.publish(folder, {}) as temporary:
        with open(temporary / _TOKENS, "wb") as file:
            for tokens, lengths in batches:
                tokens.astype(np.int32, copy=False).tofile(file)
                sizes.append(lengths)
        offsets = np.concatenate(sizes).cumsum()
        if not offsets[-1]:
            raise UserError(f"{folder.parent.name}: the documents have no words")
        np.save(temporary / _OFFSETS, offsets)


def read(folder: Path, size: int) -> Documents:
    """Returns documents from a folder; `size` is the number of ids of the vocabulary."""
    tokens = np.memmap(folder / _TOKENS, np.int32, mode="r")
    return Documents(np.asarray(tokens), np.load(folder / _OFFSETS), size)


def _cut(texts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens and lengths of a batch of TensorFlow's ragged tensors."""
    return texts.flat_values.numpy(), texts.row_lengths().numpy()
