"""The position in a tf.data iterator as bytes, and the check that it fits the pipeline."""

import io
import json
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from lm.errors import UserError

_FACTS = "pipeline.json"
_NAME = "iterator"


def save(iterator: Any, facts: Mapping[str, Any]) -> bytes:
    """Returns the position of an iterator and what its pipeline is made of.

    Raises:
        UserError: if an operation of the pipeline cannot be saved.
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
            archive.writestr(zipfile.ZipInfo(_FACTS), json.dumps(facts))
    return packed.getvalue()


def restore(
    iterator: Any,
    state: bytes,
    facts: Mapping[str, Any],
    *,
    allow_changes: Collection[str] = (),
) -> None:
    """Moves an iterator to a saved position.

    Args:
        iterator: a new iterator over the same pipeline.
        state: what `save` returned.
        facts: what this pipeline is made of; TensorFlow itself would not notice a change.
        allow_changes: names of facts that may differ.

    Raises:
        UserError: naming the facts that differ, with old and new value.
    """
    with tempfile.TemporaryDirectory() as folder, _opened(state) as archive:
        check(json.loads(archive.read(_FACTS)), facts, allow_changes=allow_changes)
        for name in archive.namelist():
            Path(folder, Path(name).name).write_bytes(archive.read(name))
        reader = tf.train.Checkpoint(iterator=iterator)
        reader.read(f"{folder}/{_NAME}").assert_existing_objects_matched()


def check(
    old: Mapping[str, Any], new: Mapping[str, Any], *, allow_changes: Collection[str] = ()
) -> None:
    """Compares what a pipeline was and is made of.

    Raises:
        UserError: naming each fact that differs and may not.
    """
    new = json.loads(json.dumps(new))
    names = sorted((old.keys() | new.keys()) - set(allow_changes))
    if changed := [name for name in names if old.get(name) != new.get(name)]:
        told = "; ".join(f"{name}: {_short(old, name)} → {_short(new, name)}" for name in changed)
        raise UserError(f"the data changed since the position was saved ({told})")


def _opened(state: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(state))
    except zipfile.BadZipFile as error:
        raise UserError("the saved position in the data is damaged") from error


def _short(facts: Mapping[str, Any], name: str) -> str:
    text = json.dumps(facts.get(name))
    return text if len(text) <= 200 else f"{text[:197]}..."  # noqa: PLR2004 - one line
