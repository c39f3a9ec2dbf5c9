"""The processor of a measurement: its name, its vector instructions, the libraries' versions."""

import os
import platform
from importlib import metadata
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Each library reads its limit when it is loaded, so `limit` comes before any import of them.
LIMITS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch
        "CT2_FORCE_CPU_ISA": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",  # NumPy
    },
}
XLA_LIMIT = "--xla_cpu_max_isa"
EXTENSIONS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "BF16",
    "amx_tile": "AMX",
}
LIBRARIES = ("tensorflow", "jax", "keras", "numpy", "torch", "transformers", "ctranslate2")


def limit(isa: str) -> None:
    """Make the engines and their peers compute as on a processor without newer instructions.

    Generated code and the libraries of products are limited; what a library chooses by looking at
    the processor itself, as JAX's own small products, is not.

    Args:
        isa: a name in `LIMITS`.
    """
    os.environ.update(LIMITS[isa])
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} {XLA_LIMIT}={isa.upper()}".strip()


def description(cpuinfo: str | None = None) -> str:
    r"""Return the processor's name, the number of its cores and its vector instructions.

    Args:
        cpuinfo: text of /proc/cpuinfo; that of this machine when None.

    Example:
        >>> description("model name : AMD EPYC\nflags : sse avx2 fma\n").split(", ", 1)[1]
        'AVX2, FMA'
    """
    fields = _fields(cpuinfo)
    name = fields.get("model name") or platform.processor() or platform.machine()
    found = instructions(cpuinfo)
    extensions = [title for flag, title in EXTENSIONS.items() if flag in found]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([f"{name} ({cores} cores)", *extensions])


def instructions(cpuinfo: str | None = None) -> list[str]:
    r"""Return all instruction sets of the processor, sorted; arguments as for `description`.

    Example:
        >>> instructions("model name : AMD EPYC\nflags : sse avx2 fma\n")
        ['avx2', 'fma', 'sse']
    """
    fields = _fields(cpuinfo)
    return sorted(fields.get("flags", fields.get("Features", "")).split())  # of x86, of ARM


def versions() -> dict[str, str]:
    """Return the versions of the engines and of the peers that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _fields(cpuinfo: str | None) -> dict[str, str]:
    """Return what a text of /proc/cpuinfo, or that of this machine, says of its last core."""
    if cpuinfo is None:
        cpuinfo = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    return {key.strip(): value.strip() for key, _, value in lines}
