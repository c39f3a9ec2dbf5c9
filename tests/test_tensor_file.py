"""A safetensors file is written and mapped tensor by tensor, as the library has it."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lm.errors import UserError
from lm.tensor_file import NAMES, entries, read_file, write_file

NOISE = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
TENSORS = {
    "b": NOISE,
    "transposed": NOISE.T,
    "every_second": NOISE[::2],
    "half": NOISE.astype(ml_dtypes.bfloat16),
    "empty": np.zeros((0, 4), "float32"),
    "scalar": np.array(7, "int64"),
    "flags": NOISE > 0,
}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(np.asarray(found[name]), tensor, err_msg=name)


def test_the_library_reads_what_is_written(tmp_path):
    write_file(tmp_path / "a", TENSORS, metadata={"format": "pt"})
    assert_equal(load_file(tmp_path / "a"), TENSORS)
    assert_equal(read_file(tmp_path / "a"), TENSORS)


def test_what_the_library_writes_is_read_and_has_the_same_bytes(tmp_path):
    tensors = {name: np.ascontiguousarray(NOISE + i) for i, name in enumerate("cab")}
    save_file(tensors, tmp_path / "theirs")
    write_file(tmp_path / "ours", tensors)
    assert_equal(read_file(tmp_path / "theirs"), tensors)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("kind", NAMES, ids=str)
def test_every_dtype_comes_back(kind, tmp_path):
    write_file(tmp_path / "a", {"a": np.arange(4)}, dtype=kind)
    assert_equal(load_file(tmp_path / "a"), {"a": np.arange(4).astype(kind)})


def test_a_tensor_lies_where_its_entry_says(tmp_path):
    write_file(tmp_path / "a", TENSORS)
    entry = entries(tmp_path / "a")["transposed"]
    content = (tmp_path / "a").read_bytes()[entry.first : entry.first + entry.size]
    assert (entry.shape, content) == ((5, 3), NOISE.T.tobytes())


def test_a_cut_file_is_refused(tmp_path):
    write_file(tmp_path / "a", TENSORS)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(UserError, match="is not a complete safetensors file"):
        read_file(tmp_path / "a")
