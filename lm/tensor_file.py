"""Reading and writing safetensors files one tensor at a time.

    8 bytes        n, the size of the header, little endian
    n bytes        JSON: name → {"dtype": "F32", "shape": […], "data_offsets": [first, end]}
    the rest       the tensors; offsets count from here

Files are memory-mapped for reading. The library `safetensors` needs all tensors of a file in memory
to write it, plus a copy as bytes; here at most one tensor is copied.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike
from safetensors import SafetensorError, safe_open

from lm.errors import UserError

DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}
_HEADER_SIZE = 8  # bytes
_ALIGNMENT = 8


class Entry(NamedTuple):
    """Where a tensor lies in its file.

    Attributes:
        dtype: safetensors' name of the dtype, such as "F32".
        shape: of the tensor.
        first: offset of its first byte from the beginning of the file.
        size: in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    first: int
    size: int


def write_file(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors one by one, so that at most one mapped or strided array is copied at a time.

    Args:
        path: the file.
        tensors: name → array.
        dtype: of the numbers in the file; by default that of each array.
        metadata: strings for the header.

    Raises:
        KeyError: an array has a dtype that is not one of `DTYPES`.
    """
    kinds = {name: np.dtype(dtype or tensor.dtype) for name, tensor in tensors.items()}
    # Widest dtypes first, as the library does, so that every tensor is aligned.
    order = sorted(tensors, key=lambda name: (-kinds[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        first, end = end, end + tensors[name].size * kinds[name].itemsize
        header[name] = {
            "dtype": NAMES[kinds[name]],
            "shape": list(tensors[name].shape),
            "data_offsets": [first, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_HEADER_SIZE, "little"))
        file.write(text)
        for name in order:
            array = np.ascontiguousarray(tensors[name], kinds[name])
            file.write(array.reshape(-1).view(np.uint8).data)


def read_file(path: Path) -> dict[str, np.ndarray]:
    """Returns name → array, memory-mapped: a tensor is read when it is used.

    Raises:
        UserError: the file is damaged, or a tensor has a type that is unknown here.
    """
    return {name: _mapped(path, entry) for name, entry in entries(path).items()}


def entries(path: Path) -> dict[str, Entry]:
    """Returns the entry of each tensor; the library validates the header first.

    Raises:
        UserError: the file is damaged, or a tensor has a type that is unknown here.
    """
    try:
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(_HEADER_SIZE), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a complete safetensors file: {reason}") from error
    header.pop("__metadata__", None)
    base, found = _HEADER_SIZE + size, {}
    for name, one in header.items():
        if one["dtype"] not in DTYPES:
            raise UserError(f"{path}: {name} is {one['dtype']}; known are {', '.join(DTYPES)}")
        first, end = one["data_offsets"]
        found[name] = Entry(one["dtype"], tuple(one["shape"]), base + first, end - first)
    return found


def _mapped(path: Path, entry: Entry) -> np.ndarray:
    """Returns a tensor of a validated file."""
    dtype = np.dtype(DTYPES[entry.dtype])
    if not math.prod(entry.shape):
        return np.zeros(entry.shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=entry.first, shape=entry.shape)
