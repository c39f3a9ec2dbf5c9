"""Shared by every test and doctest: engine, log level, seeds, the folder of data sets.

It is in the root because the doctests of `lm/` need it, too.
"""

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lm  # noqa: F401 - sets XLA's flags before anything starts JAX
from lm.cli.main import GARBAGE_THRESHOLD

ROOT = Path(__file__).resolve().parent
BLOCKED = ("tensorflow", "tensorflow_text", "tensorflow_datasets", "seqio", "t5")

# These modules import other libraries, which are the extras `parity`, `eval` and `onnx`.
NEEDS = {
    "lm/bench/against_*.py": "torch",
    "lm/bench/torch_*.py": "torch",
    "lm/inference/harness*.py": "lm_eval",
    "lm/engines/onnx_session.py": "onnxruntime",
    "lm/engines/onnx_graph.py": "tf2onnx",
    "lm/inference/export_onnx.py": "onnx",
}
collect_ignore_glob = [file for file, name in NEEDS.items() if not importlib.util.find_spec(name)]

gc.set_threshold(GARBAGE_THRESHOLD)  # as a command does: a tenth of the suite's time
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that blocks TensorFlow."""
    parser.addoption(
        "--block-tensorflow",
        action="store_true",
        help="make importing TensorFlow, SeqIO and t5 an ImportError (with KERAS_BACKEND=jax)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Blocks TensorFlow before anything imports Keras."""
    if config.getoption("--block-tensorflow"):
        if os.environ["KERAS_BACKEND"] == "tensorflow":
            raise pytest.UsageError("--block-tensorflow needs KERAS_BACKEND=jax")
        sys.modules.update(dict.fromkeys(BLOCKED))


def pytest_report_header(config: pytest.Config) -> str:
    """Reports which engine runs."""
    blocked = ", TensorFlow blocked" if config.getoption("--block-tensorflow") else ""
    return f"engine: {os.environ['KERAS_BACKEND']}{blocked}"


@pytest.fixture(autouse=True)
def fixed_seed() -> Iterator[None]:
    """Starts every test from the same seed and the default dtype, whatever ran before it."""
    keras = sys.modules.get("keras")
    if keras:
        keras.utils.set_random_seed(0)
    yield
    if keras:
        keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def compiled_by_one_file() -> Iterator[None]:
    """Drops the programs that JAX compiled for a test file; otherwise it keeps gigabytes."""
    yield
    jax = sys.modules.get("jax")
    if jax:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def doctest_names(request: pytest.FixtureRequest) -> None:
    """Gives doctests the names `keras`, `ops` and `np`."""
    if isinstance(request.node, pytest.DoctestItem):
        import keras
        import numpy as np

        names = request.getfixturevalue("doctest_namespace")
        names.update(keras=keras, ops=keras.ops, np=np)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of local data sets; tests that need it are skipped if it does not exist."""
    from lm.data.storage.files import data_dir

    folder = data_dir()
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set LM_DATA_DIR")
    return folder
