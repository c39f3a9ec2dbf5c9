"""One toolkit in which language models are trained, decoded and compared from gin files.

Importing `lm` loads no framework; `lm.load` does when it is called. Import it before computing
anything with JAX: where Keras runs on it, `lm.xla_flags` sets XLA's flags.
"""

from typing import TYPE_CHECKING, Any

from lm import xla_flags

if TYPE_CHECKING:
    from lm.inference.run import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

xla_flags.guard()


def __getattr__(name: str) -> Any:
    """Import what needs a framework when it is first asked for."""
    if name == "load":
        from lm import quiet

        quiet.install()
        from lm.inference.run import load

        return load
    raise AttributeError(f"module 'lm' has no attribute {name!r}")
