"""Peak matrix-product throughput of the machine, and peak memory of this process."""

import importlib
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (1024, 2048, 4096)
_REPEATS = 3
_TYPES = {"numpy": ("float32",)}  # NumPy has no bfloat16


def matmul_peak(dtype: str, sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    """FLOP/s of the fastest square matrix product in each installed library.

    Args:
        dtype: compute dtype of the model; float32 is measured too.
        sizes: n of the [n, n] products, 2·n³ FLOPs each.

    Returns:
        "numpy", "tensorflow", "jax" -> FLOP/s.
    """
    builders = {"numpy": _numpy_product, "tensorflow": _tensorflow_product, "jax": _jax_product}
    peaks = {}
    for library, build in builders.items():
        if _installed(library):
            types = _TYPES.get(library, sorted({"float32", dtype}))
            peaks[library] = max(_rate(build(n, kind), n) for n in sizes for kind in types)
    return peaks


def _rate(product: Callable[[], Any], size: int) -> float:
    """FLOP/s of the fastest of a few products, after a warm-up."""
    product()
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def _numpy_product(size: int, dtype: str) -> Callable[[], Any]:
    a = _square(size).astype(dtype)
    return lambda: a @ a


def _tensorflow_product(size: int, dtype: str) -> Callable[[], Any]:
    import tensorflow as tf

    a = tf.cast(_square(size), dtype)
    return lambda: (a @ a)[0, 0].numpy()


def _jax_product(size: int, dtype: str) -> Callable[[], Any]:
    import jax

    a = jax.numpy.asarray(_square(size), dtype)
    product = jax.jit(lambda x: x @ x)
    return lambda: product(a).block_until_ready()


def _square(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((size, size), "float32")


def _installed(library: str) -> bool:
    try:
        importlib.import_module(library)
    except ImportError:
        return False
    return True


def peak_memory() -> int:
    """Peak host memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
