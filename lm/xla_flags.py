"""XLA flags that one release of JAX needs to compute correct sums on a CPU.

jaxlib 0.10.2 passes sums to YNNPACK, which returns wrong values when a product per row is fused
with its sum (https://github.com/jax-ml/jax/issues/39103); 0.10.1 and 0.11.0 are not affected. The
flag is set only if Keras runs on JAX: TensorFlow's own XLA is correct, and 4 % slower with it.
"""

import json
import os
from pathlib import Path

from lm.installed import version

WRONG_SUMS = "0.10.2"
FUSIONS = "--xla_cpu_experimental_ynn_fusion_type"
CACHE = "--tf_xla_persistent_cache_directory"
_ROWS = 32_769


def guard() -> None:
    """Disables YNNPACK's sums for the affected release; must run before JAX first computes.

    No other release gets the flag: XLA aborts the process on a flag it does not know.
    """
    if keras_backend() == "jax" and version("jaxlib") == WRONG_SUMS:
        os.environ["XLA_FLAGS"] = guarded(os.environ.get("XLA_FLAGS", ""))


def keras_backend() -> str:
    """Returns the backend that Keras will use, without importing it."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((folder / "keras.json").read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def guarded(flags: str) -> str:
    """Returns the flags with the guard added, unless they already set YNNPACK's fusions.

    Example:
        >>> guarded("--xla_dump_to=x")
        '--xla_dump_to=x --xla_cpu_experimental_ynn_fusion_type=-reduce'
    """
    return flags if FUSIONS in flags else f"{flags} {FUSIONS}=-reduce".strip()


def without_cache(flags: str) -> str:
    """Returns TensorFlow's flags without the cache folder, which does not affect results.

    Example:
        >>> without_cache("--tf_xla_auto_jit=0 --tf_xla_persistent_cache_directory=x")
        '--tf_xla_auto_jit=0'
    """
    return " ".join(flag for flag in flags.split() if not flag.startswith(CACHE))


def published_case() -> tuple[float, float]:
    """Returns JAX's and the correct value of the last of Σ (I x_i)² with x_i = (i, 0, 0).

    Without the guard jaxlib 0.10.2 is off by 0.2 to 0.8 %.
    """
    import jax
    import jax.numpy as jnp

    i = jnp.arange(_ROWS, dtype="float32")
    x = jnp.stack([i, 0 * i, 0 * i], axis=1)  # [N, 3]
    eye = jnp.eye(3)
    squares = jax.jit(jax.vmap(lambda row: jnp.sum((eye @ row) ** 2)))(x)  # [N]
    return float(squares[-1]), float((_ROWS - 1) ** 2)
