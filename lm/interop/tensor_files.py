"""The tensors of a Hugging Face folder, memory-mapped: each is read when it is used.

They are in `model.safetensors` or in the shards listed in `model.safetensors.index.json`. Other
formats are pickles, which can run code when they are loaded, and are refused.
"""

from pathlib import Path

import numpy as np

from lm.errors import UserError
from lm.json_file import read_object
from lm.tensor_file import read_file

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt*", "*.h5", "*.msgpack", "*.pkl")


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Returns name -> array of all tensors of a folder.

    Raises:
        UserError: a file or tensor is missing, damaged or outside the folder.
    """
    if (folder / INDEX).is_file():
        return _sharded(folder)
    if (folder / SINGLE).is_file():
        return read_file(folder / SINGLE)
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UserError(
            f"{folder} holds {pickles[0]} and no {SINGLE}: such a file runs code when it is read; "
            "load it with transformers where you trust it, and `save_pretrained` writes "
            f"{SINGLE}"
        )
    raise UserError(f"{folder} has neither {SINGLE} nor {INDEX}")


def _sharded(folder: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of the shards that the index lists."""
    listed = _weight_map(folder / INDEX)
    found: dict[str, np.ndarray] = {}
    for file in sorted(set(listed.values())):
        if not (folder / file).is_file():
            raise UserError(f"{folder / INDEX} names {file}, which is not in {folder}")
        shard = read_file(folder / file)
        expected = {name for name, location in listed.items() if location == file}
        if differing := sorted(expected ^ shard.keys()):
            raise UserError(
                f"{folder / file} and the index differ: {differing[0]} is in one of them alone"
            )
        found |= shard
    return found


def _weight_map(index: Path) -> dict[str, str]:
    """Returns tensor name -> file in the folder of the index.

    Raises:
        UserError: the index has no such map, or names a file outside the folder.
    """
    listed = read_object(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{index} has no weight_map of tensors and files")
    for name, file in listed.items():
        is_here = isinstance(file, str) and Path(file).name == file
        if not is_here or not file.endswith(".safetensors"):
            raise UserError(f"{index}: {name} lies in {file!r:.60}, which is no .safetensors here")
    return listed
