"""Silences the log messages of TensorFlow and JAX, not Python's errors.

TensorFlow's C++ code writes about six lines while it is imported, before any log level applies:
`without_log_lines` filters them out. Log levels silence the rest.
"""

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType


def install() -> None:
    """Silences TensorFlow and JAX in this process, whenever they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _after_tensorflow(tensorflow: ModuleType) -> None:
    """Silences TensorFlow's Python loggers; hides the GPUs from it when JAX is the engine."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    tensorflow.get_logger().setLevel(logging.ERROR)
    if os.environ.get("KERAS_BACKEND") == "jax":
        tensorflow.config.set_visible_devices([], "GPU")


_AFTER: dict[str, Callable[[ModuleType], None]] = {
    "tensorflow": _after_tensorflow,
    "jax": lambda module: None,
}


class _Loader(importlib.abc.Loader):
    """Runs another loader without its log messages."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Creates the module as the wrapped loader does."""
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module silently, then sets its log levels; restores its own loader."""
        module.__loader__ = self._inner
        if module.__spec__:
            module.__spec__.loader = self._inner
        with without_log_lines():
            self._inner.exec_module(module)
            _AFTER[module.__name__](module)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the loaders of TensorFlow and JAX."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the usual spec with a silent loader, for TensorFlow and JAX only."""
        if name not in _AFTER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec


# `I0000 00:00:1795.2 123 port.cc:153] text`, `2025-01-01 00:00:00.1: I tensorflow/...` and the two
# lines that follow or precede them without a prefix; `normalizer.cc(51) LOG(INFO) text`.
_NOISE = re.compile(
    r"[IWE]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\]"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    r"|WARNING: All log messages before absl::InitializeLog"
    r"|To enable the following instructions:"
    r"|(SLF4J|Intel MKL|oneDNN)"
    r"|\w+\.cc\(\d+\) LOG\(INFO\) "
)


@contextlib.contextmanager
def without_log_lines() -> Iterator[None]:
    """Captures file descriptor 2 during the body, then writes what was not a log line."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            caught.seek(0)
            _write_rest(caught.read())


def _write_rest(text: bytes) -> None:
    """Writes the lines that are not log lines."""
    lines = text.decode("utf-8", "replace").splitlines(keepends=True)
    sys.stderr.write("".join(line for line in lines if not _NOISE.match(line)))
