"""One checkpoint folder: written atomically, read only after its hashes are verified."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from safetensors import SafetensorError

from lm import disk
from lm.errors import UserError
from lm.tensor_file import DTYPES, entries, read_file, write_file

FORMAT = 1
MANIFEST, SEAL = "MANIFEST.json", "MANIFEST.sha256"

Groups = Mapping[str, Mapping[str, np.ndarray]]


class CheckpointError(UserError):
    """A checkpoint that cannot be written, or does not fit the model it is loaded into."""


class DamagedError(CheckpointError):
    """A checkpoint whose files are damaged or missing."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The manifest of a checkpoint.

    Attributes:
        step: batches consumed.
        tensors: kind -> name -> {"shape": [...], "dtype": "float32"}.
        files: file name -> {"bytes": n, "sha256": "..."}.
        metadata: configuration, data, versions, machine, metrics: plain JSON.
        format: version of this layout.
    """

    step: int
    tensors: dict[str, dict[str, dict[str, Any]]]
    files: dict[str, dict[str, Any]]
    metadata: dict[str, Any]
    format: int = FORMAT


def write(
    folder: Path,
    *,
    step: int,
    groups: Groups,
    data_state: bytes,
    metadata: Mapping[str, Any],
    dtype: DTypeLike | None = None,
) -> Path:
    """Writes a checkpoint atomically: `folder` is complete or does not exist.

    Args:
        folder: `.../checkpoints/<step>`; an existing one is replaced.
        step: batches consumed.
        groups: kind -> name -> array; one safetensors file per kind.
        data_state: position in the data.
        metadata: plain JSON for the manifest.
        dtype: of all numbers in the files; by default those of the arrays.

    Raises:
        CheckpointError: the disk is full or not writable; the message names path and size.
    """
    try:
        with disk.filled(folder, disk.replace_folder) as temporary:
            for kind, group in groups.items():
                arrays = {name: np.asarray(array) for name, array in group.items()}
                write_file(temporary / f"{kind}.safetensors", arrays, dtype=dtype)
            (temporary / "data_state").write_bytes(data_state)
            _seal(temporary, step=step, kinds=list(groups), metadata=metadata)
    except (OSError, SafetensorError) as error:
        size = sum(array.nbytes for group in groups.values() for array in group.values())
        raise CheckpointError(
            disk.format_failure(folder, "checkpoint", error, size=size)
        ) from error
    return folder


def verify(folder: Path) -> Manifest:
    """Returns the manifest of a checkpoint after verifying the hashes of all its files.

    Raises:
        DamagedError: naming the first file that is missing, truncated or changed.
        CheckpointError: the checkpoint is of a newer format.
    """
    manifest = manifest_of(folder)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedError(f"{path} is missing")
        if path.stat().st_size != entry["bytes"]:
            raise DamagedError(f"{path} has {path.stat().st_size} bytes, not {entry['bytes']}")
        if disk.sha256(path) != entry["sha256"]:
            raise DamagedError(f"{path} was changed: its sha256 is not the manifest's")
    return manifest


def manifest_of(folder: Path) -> Manifest:
    """Returns the manifest of a checkpoint after verifying it; the other files are not read.

    Raises:
        DamagedError: the manifest is missing or changed.
        CheckpointError: the checkpoint is of a newer format.
    """
    path = folder / MANIFEST
    try:
        text, seal = path.read_bytes(), (folder / SEAL).read_bytes()
    except OSError as error:
        raise DamagedError(f"{error.filename} cannot be read: {error.strerror}") from error
    if hashlib.sha256(text).hexdigest().encode() != seal:
        raise DamagedError(f"{path} was changed: its sha256 is not the one in {SEAL}")
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise CheckpointError(
                f"{folder} has checkpoint format {values['format']}, this version reads {FORMAT}; "
                "use the version of lm that wrote it"
            )
        # In the file the metadata is called "facts", as in checkpoints of earlier versions.
        return _checked(Manifest(metadata=values.pop("facts"), **values))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{path} is not a manifest: {error}") from error


def read(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """Returns name -> memory-mapped array of one kind; call `verify` first.

    Raises:
        DamagedError: the file is not valid safetensors, although its hash matches.
    """
    try:
        return read_file(folder / f"{kind}.safetensors")
    except UserError as error:
        raise DamagedError(str(error)) from error


def _checked(manifest: Manifest) -> Manifest:
    """Returns a manifest from an untrusted file after checking the types of its fields.

    Raises:
        TypeError: a field has the wrong type, or a file lies outside the folder.
    """
    parts = (manifest.tensors, manifest.files, manifest.metadata, *manifest.files.values())
    if not isinstance(manifest.step, int) or not all(isinstance(part, dict) for part in parts):
        raise TypeError("step, tensors, files or facts have the wrong type")
    if elsewhere := [name for name in manifest.files if Path(name).name != name]:
        raise TypeError(f"{elsewhere[0]!r} lies outside the folder")
    return manifest


def _seal(folder: Path, *, step: int, kinds: Sequence[str], metadata: Mapping[str, Any]) -> None:
    """Writes the manifest of the files in a folder, then its hash."""
    files = sorted(folder.iterdir())
    manifest = Manifest(
        step=step,
        tensors={kind: _tensors(folder / f"{kind}.safetensors") for kind in kinds},
        files={f.name: {"bytes": f.stat().st_size, "sha256": disk.sha256(f)} for f in files},
        metadata=dict(metadata),
    )
    values = dataclasses.asdict(manifest)
    values["facts"] = values.pop("metadata")
    text = json.dumps(values, indent=1, sort_keys=True).encode()
    (folder / MANIFEST).write_bytes(text)
    (folder / SEAL).write_text(hashlib.sha256(text).hexdigest())


def _tensors(path: Path) -> dict[str, dict[str, Any]]:
    """Returns name -> shape and dtype of the tensors in a file."""
    return {
        name: {"shape": list(entry.shape), "dtype": np.dtype(DTYPES[entry.dtype]).name}
        for name, entry in entries(path).items()
    }
