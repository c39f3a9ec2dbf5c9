"""The position of a tf.data iterator as bytes, and the check that it fits the pipeline."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from lm.differences import with_differences
from lm.errors import UserError

_FINGERPRINT = "pipeline.json"
_NAME = "iterator"
# Limits for a position, which holds the examples of the shuffle buffers, hardly compressible.
_LARGEST = 4 * 2**30
_LARGEST_FINGERPRINT = 16 * 2**20
_DENSEST, _SLACK = 100, 64 * 2**20


def save(iterator: Any, fingerprint: Mapping[str, Any]) -> bytes:
    """Returns the position of an iterator with the fingerprint of its pipeline.

    Raises:
        UserError: an operation of the pipeline cannot be saved.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.train.Checkpoint(iterator=iterator).write(f"{folder}/{_NAME}")
        except tf.errors.OpError as error:
            reason = str(error.message).splitlines()[0]
            raise UserError(
                f"the data's position cannot be saved (by way of {folder}): {reason}"
            ) from error
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
            archive.writestr(zipfile.ZipInfo(_FINGERPRINT), json.dumps(fingerprint))
    return packed.getvalue()


def restore(
    iterator: Any,
    state: bytes,
    fingerprint: Mapping[str, Any],
    *,
    allow_changes: Collection[str] = (),
) -> None:
    """Moves an iterator to a saved position.

    Args:
        iterator: a new iterator over the same pipeline.
        state: the result of `save`.
        fingerprint: of this pipeline; TensorFlow itself would not notice a change.
        allow_changes: names in it that may differ.

    Raises:
        UserError: listing the differences, with old and new value.
    """
    with tempfile.TemporaryDirectory() as folder, _opened(state) as archive:
        check(_read_fingerprint(archive), fingerprint, allow_changes=allow_changes)
        try:
            _unpack(archive, Path(folder))
            reader = tf.train.Checkpoint(iterator=iterator)
            reader.read(f"{folder}/{_NAME}").assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"the saved position in the data is damaged: {reason}") from error


def check(
    old: Mapping[str, Any], new: Mapping[str, Any], *, allow_changes: Collection[str] = ()
) -> None:
    """Compares the old and the new fingerprint of a pipeline.

    Raises:
        UserError: listing the differences that are not allowed.
    """
    new = json.loads(json.dumps(new))
    names = sorted((old.keys() | new.keys()) - set(allow_changes))
    if changed := [name for name in names if old.get(name) != new.get(name)]:
        error = UserError(f"the data changed since the position was saved: {', '.join(changed)}")
        raise with_differences(error, *({n: x.get(n) for n in changed} for x in (old, new)))


def _opened(state: bytes) -> zipfile.ZipFile:
    """Returns the archive of a position after checking the sizes that it declares."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(state))
    except zipfile.BadZipFile as error:
        raise UserError("the saved position in the data is damaged") from error
    # Check before reading: no more than the declared size of a file is ever read.
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    total = sum(entry.file_size for entry in archive.infolist())
    most = min(_LARGEST, _DENSEST * len(state) + _SLACK)
    if total > most or sizes.get(_FINGERPRINT, 0) > _LARGEST_FINGERPRINT:
        raise UserError(
            f"the saved position in the data is damaged: its {len(state) >> 10} KiB would unpack "
            f"to {total >> 20} MiB"
        )
    return archive


def _read_fingerprint(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Returns the fingerprint stored with the position."""
    try:
        found = json.loads(archive.read(_FINGERPRINT))
        if isinstance(found, dict):
            return found
        raise ValueError(f"{_FINGERPRINT} is not an object")
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise UserError(f"the saved position in the data is damaged: {error}") from error


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Extracts an archive into a folder, in chunks and never outside of it."""
    for name in archive.namelist():
        with archive.open(name) as source, Path(folder, Path(name).name).open("wb") as target:
            shutil.copyfileobj(source, target)
