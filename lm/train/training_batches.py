"""Training batches: hashed as they pass, and checked against the model before the first step."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lm.errors import ConfigError, UserError
from lm.train.progress import log
from lm.types import Batch

# A table may have more rows than the tokenizer has ids (T5 rounds 32,100 up to 32,128), but not
# this many times as many.
_WASTED = 2
_MAX_SHOWN = 8


class HashedBatches:
    """Passes batches on and keeps a chained hash of all of them.

    It is stored in the manifest of every checkpoint as `batches`: two runs with the same hash have
    seen the same batches in the same order.

    Args:
        data: endless batches with `features`, `wait_seconds`, `fingerprint`, `state`, `restore`.

    Attributes:
        data: the argument.
        digest: hash of all batches so far; empty before the first.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self.digest = ""

    def __next__(self) -> Batch:
        batch = next(self.data)
        self.digest = chained_hash(self.digest, batch)
        return batch

    @property
    def features(self) -> Mapping[str, Any]:
        """Shape and dtype of every feature of a batch."""
        return self.data.features

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return int(next(iter(self.features.values())).shape[0])

    @property
    def vocabulary_sizes(self) -> Mapping[str, int]:
        """Where a tokenizer is used -> its number of ids; empty if unknown."""
        return getattr(self.data, "vocabulary_sizes", {})

    @property
    def label_names(self) -> Sequence[str]:
        """Names of the labels by id; empty if there are none."""
        return getattr(self.data, "label_names", ())

    @property
    def wait_seconds(self) -> float:
        """Seconds that the run has waited for batches."""
        return self.data.wait_seconds

    def fingerprint(self) -> dict[str, Any]:
        """Returns everything that determines the batches."""
        return self.data.fingerprint()

    def state(self) -> bytes:
        """Returns the position in the data."""
        return self.data.state()

    def restore(self, state: bytes, *, allow_changes: Collection[str] = ()) -> None:
        """Goes to a position in the data."""
        self.data.restore(state, allow_changes=allow_changes)


def chained_hash(digest: str, batch: Batch) -> str:
    """Returns the hash of a digest and a batch, 16 hexadecimal digits.

    Example:
        >>> one, two = {"x": np.arange(3)}, {"x": np.arange(3) + 1}
        >>> chained_hash(chained_hash("", one), two) == chained_hash(chained_hash("", two), one)
        False
    """
    found = hashlib.sha256(digest.encode())
    for name in sorted(batch):
        array = np.ascontiguousarray(batch[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.data)
    return found.hexdigest()[:16]


def check_vocabulary(objective: Any, vocabulary_sizes: Mapping[str, int]) -> None:
    """Compares the tokenizers of the data with the embedding of the model.

    Args:
        objective: not necessarily built.
        vocabulary_sizes: where a tokenizer is used -> its number of ids.

    Raises:
        ConfigError: a tokenizer has more ids than the embedding has rows.
    """
    rows = _embedding_rows(objective)
    if rows is None or not vocabulary_sizes:
        return
    user, ids = max(vocabulary_sizes.items(), key=lambda item: item[1])
    if ids > rows:
        raise ConfigError(
            f"the tokenizer of {user} has {ids} ids, the model's embedding {rows} rows: set "
            f"VOCABULARY_SIZE = {ids}, or VOCABULARY to the model's tokenizer"
        )
    if rows > _WASTED * ids:
        log(
            f"the tokenizer of {user} has {ids} ids, VOCABULARY_SIZE = {rows}: most rows of the "
            "embedding are never used"
        )


def check_labels(objective: Any, names: Sequence[str]) -> None:
    """Compares the labels of the data with the head of the model.

    Args:
        objective: not necessarily built.
        names: of the labels; empty if the data have no names for them.

    Raises:
        ConfigError: the number of labels differs from that of the head or of the class weights.
    """
    found = [getattr(layer, "num_labels", None) for layer in objective._flatten_layers()]
    scores = next((count for count in found if count is not None), None)
    if names and scores is not None and scores != len(names):
        shown = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
        raise ConfigError(
            f"the task has {len(names)} labels ({shown}), the model's head {scores} scores: set "
            f"NUM_LABELS = {len(names)}"
        )
    weights = getattr(objective, "class_weights", None)
    if names and weights is not None and len(weights) != len(names):
        raise ConfigError(
            f"Labels.class_weights: {len(weights)} class weights, the task has {len(names)} labels"
        )


def check_first_batch(objective: Any, batch: Batch) -> None:
    """Checks the first batch of this process.

    Raises:
        UserError: it has ids outside the vocabulary, more examples in a row than the model
            supports, or only loss weights of 0.
    """
    _check_packing(objective, batch)
    rows = _embedding_rows(objective)
    for name, ids in batch.items():
        low, high = (int(ids.min()), int(ids.max())) if name.endswith("_tokens") else (0, 0)
        if low < 0 or (rows is not None and high >= rows):
            bad = low if low < 0 else high
            raise UserError(
                f"the first batch has id {bad} in {name}, the model's embedding rows 0 to "
                f"{'?' if rows is None else rows - 1}: set VOCABULARY_SIZE or correct the task's "
                "ids"
            )
    weights = [
        array for name, array in batch.items() if name.endswith(("_loss_weights", "label_weights"))
    ]
    if weights and not any(array.any() for array in weights):
        raise UserError(
            "the first batch has nothing to learn from, all its loss weights are 0: check the task "
            "with `lm show`, and TASK_FEATURE_LENGTHS"
        )


def _check_packing(objective: Any, batch: Batch) -> None:
    """Refuses rows with more examples than a layer's `max_segments`."""
    packed = max((int(x.max()) for name, x in batch.items() if "segment_ids" in name), default=1)
    for layer in objective._flatten_layers():
        most = getattr(layer, "max_segments", None)
        if most is not None and packed > most:
            raise UserError(
                f"the first batch has {packed} examples in a row, {type(layer).__name__} admits "
                f"{most}: bind packing.FirstFit.max_examples = {most}"
            )


def _embedding_rows(objective: Any) -> int | None:
    """Returns the number of rows of the largest token embedding, None if there is none."""
    found = [getattr(layer, "vocabulary_size", None) for layer in objective._flatten_layers()]
    return max((rows for rows in found if isinstance(rows, int)), default=None)
