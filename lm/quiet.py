"""Silences the log messages of TensorFlow and JAX; Python's errors are shown as they are.

TensorFlow's C++ code writes about six lines while it is imported, before any log level applies:
`lm.chatter` filters them. Log levels silence the rest.
"""

import importlib.abc
import importlib.machinery
import logging
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from lm.chatter import without_chatter


def install() -> None:
    """Silence TensorFlow and JAX in this process, whenever they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _after_tensorflow(tensorflow: ModuleType) -> None:
    """Silence TensorFlow's Python loggers; leave the GPUs to JAX when it is the engine."""
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
        """Create the module as the wrapped loader does."""
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module silently, then set its log levels; its own loader stays in place."""
        module.__loader__ = self._inner
        if module.__spec__:
            module.__spec__.loader = self._inner
        with without_chatter():
            self._inner.exec_module(module)
            _AFTER[module.__name__](module)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the loaders of TensorFlow and JAX."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the usual spec with a silent loader, for TensorFlow and JAX only."""
        if name not in _AFTER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec
