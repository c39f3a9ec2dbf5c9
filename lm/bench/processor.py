"""Description of the processor: its name, vector instructions and the libraries' versions."""

import getpass
import os
import platform
import tempfile
from pathlib import Path

from lm.installed import version

CPUINFO = Path("/proc/cpuinfo")
# Each library reads its limit when it is loaded, so `limit` must be called before any import.
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
    """Restricts the engines and their peers to the instructions of an older processor.

    This limits generated code and the BLAS libraries, but not code that checks the processor
    itself, such as JAX's small matrix products.

    Args:
        isa: a name in `LIMITS`.
    """
    os.environ.update(LIMITS[isa])
    # What torch.compile kept for all of the processor's instructions aborts here, and vice versa.
    kernels = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{isa}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kernels))
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} {XLA_LIMIT}={isa.upper()}".strip()


def description(cpuinfo: str | None = None) -> str:
    r"""Returns the processor's name, its number of cores and its vector instructions.

    Args:
        cpuinfo: text of /proc/cpuinfo; None for this machine's.

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
    r"""Returns all instruction sets of the processor, sorted; argument as in `description`.

    Example:
        >>> instructions("model name : AMD EPYC\nflags : sse avx2 fma\n")
        ['avx2', 'fma', 'sse']
    """
    fields = _fields(cpuinfo)
    return sorted(fields.get("flags", fields.get("Features", "")).split())  # x86, ARM


def versions() -> dict[str, str]:
    """Returns the versions of the installed engines and peers."""
    return {name: found for name in LIBRARIES if (found := version(name))}


def _fields(cpuinfo: str | None) -> dict[str, str]:
    """Returns the fields of the last core in a text of /proc/cpuinfo, by default this machine's."""
    if cpuinfo is None:
        cpuinfo = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    return {key.strip(): value.strip() for key, _, value in lines}
