"""Train, decode, evaluate and compare sequence models, configured by gin files.

Importing `lm` loads no framework; calling `lm.load` does. Import it before JAX computes anything:
with Keras on JAX, `lm.xla_flags` sets XLA's flags.
"""

from typing import TYPE_CHECKING, Any

from lm import xla_flags

if TYPE_CHECKING:
    from lm.inference.run import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

xla_flags.guard()


def __getattr__(name: str) -> Any:
    """Imports `load`, which needs a framework, at its first use."""
    if name == "load":
        from lm import quiet

        quiet.install()
        from lm.inference.run import load

        return load
    raise AttributeError(f"module 'lm' has no attribute {name!r}")
