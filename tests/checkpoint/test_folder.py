"""A checkpoint folder is complete or absent, and no changed byte goes unnoticed."""

import errno
import json
import os
import random

import ml_dtypes
import numpy as np
import pytest
from safetensors import SafetensorError

from lm import disk
from lm.checkpoint import CheckpointError, DamagedError, folder, read, verify, write

GROUPS = {
    "weights": {
        "layer/kernel": np.arange(6, dtype="float32").reshape(2, 3),
        "layer/half": np.arange(4, dtype=ml_dtypes.bfloat16),
        "layer/transposed": np.arange(6, dtype="float32").reshape(2, 3).T,
    },
    "state": {"seed": np.array([1, 2**32 - 1], "uint32"), "step": np.array(7, "int64")},
}


def save(place, step=3):
    return write(
        place / str(step),
        step=step,
        groups=GROUPS,
        data_state=b"\0position",
        metadata={"metric": 1.5},
    )


def test_every_tensor_comes_back_bit_for_bit(tmp_path):
    saved = save(tmp_path)
    manifest = verify(saved)
    assert (manifest.step, manifest.metadata) == (3, {"metric": 1.5})
    assert (saved / "data_state").read_bytes() == b"\0position"
    for kind, group in GROUPS.items():
        arrays = read(saved, kind)
        assert arrays.keys() == group.keys()
        for name, array in group.items():
            assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape), name
            np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    assert manifest.tensors["weights"]["layer/half"] == {"shape": [4], "dtype": "bfloat16"}


def test_nothing_but_the_checkpoint_is_left(tmp_path):
    save(tmp_path)
    save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_every_file_and_both_folders_are_flushed_before_and_after_the_renaming(
    tmp_path, monkeypatch
):
    events = []
    monkeypatch.setattr(disk, "flush", lambda path: events.append(path.name))
    rename = disk.Path.rename

    def noted(path, target):
        events.append("rename")
        return rename(path, target)

    monkeypatch.setattr(disk.Path, "rename", noted)
    save(tmp_path)
    before, after = events[: events.index("rename")], events[events.index("rename") + 1 :]
    files = {"weights.safetensors", "state.safetensors", "data_state", "MANIFEST.json"}
    assert files | {"MANIFEST.sha256"} < set(before)
    assert before[-1].startswith(".tmp-")
    assert after == [tmp_path.name]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_file_is_found(tmp_path, share):
    saved = save(tmp_path)
    for path in saved.iterdir():
        whole = path.read_bytes()
        os.truncate(path, int(len(whole) * share))
        with pytest.raises(DamagedError, match=path.name.split(".")[0]):
            verify(saved)
        path.write_bytes(whole)
    assert verify(saved).step == 3


def test_a_missing_file_is_found(tmp_path):
    saved = save(tmp_path)
    for path in saved.iterdir():
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(DamagedError, match=path.name):
            verify(saved)
        path.write_bytes(whole)


def test_every_flipped_bit_is_found(tmp_path):
    saved = save(tmp_path)
    rng = random.Random(0)
    files = sorted(saved.iterdir())
    for trial in range(200):
        path = files[trial % len(files)]
        whole = bytearray(path.read_bytes())
        place = rng.randrange(len(whole))
        whole[place] ^= 1 << rng.randrange(8)
        intact = path.read_bytes()
        path.write_bytes(whole)
        with pytest.raises(DamagedError):
            verify(saved)
        path.write_bytes(intact)


def test_a_newer_format_is_refused_by_name(tmp_path):
    saved = save(tmp_path)
    values = json.loads((saved / "MANIFEST.json").read_text()) | {"format": 99}
    text = json.dumps(values).encode()
    (saved / "MANIFEST.json").write_bytes(text)
    (saved / "MANIFEST.sha256").write_text(folder.hashlib.sha256(text).hexdigest())
    with pytest.raises(CheckpointError, match="format 99, this version reads 1"):
        verify(saved)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), SafetensorError("No space left")]
)
@pytest.mark.parametrize("place", ["write_file", "flush", "sha256", "fsync"])
def test_a_full_disk_leaves_the_old_checkpoints_and_says_how_much_is_needed(
    tmp_path, monkeypatch, place, error
):
    save(tmp_path, step=2)

    def full(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        owner = {"write_file": folder, "fsync": os}.get(place, disk)
        patch.setattr(owner, place, full)
        with pytest.raises(CheckpointError, match=r"3 \(0.0 MiB needed, .*No space left"):
            save(tmp_path, step=3)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
    assert verify(tmp_path / "2").step == 2
