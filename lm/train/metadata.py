"""Everything that determines the bits of a run: configuration, data, versions, machine, code.

It is stored in the manifest of every checkpoint, compared when a run resumes, and written to three
files of the run folder.
"""

import fnmatch
import hashlib
import json
import os
import platform
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm import __version__, config, disk
from lm.bench import processor
from lm.config import describe
from lm.differences import ABSENT, with_differences
from lm.engines import Program
from lm.errors import ConfigError, UserError
from lm.installed import version
from lm.xla_flags import without_cache

PACKAGES = ("keras", "numpy", "tensorflow", "jax", "seqio-nightly", "safetensors")
# Settings that may differ when a run resumes: those of duration and reporting, and those that
# `run_metadata` compares by value in `run` and `data`. Of a user's files and tokenizers only the
# contents count, which `data` has, not the paths. All other bindings affect the weights.
HARMLESS = re.compile(
    r"(.*/)?(lm\.train\.train\.(workdir|train_steps|\w*_period|keep|patience|evaluations|samples|loggers"
    r"|max_skipped|max_rollbacks|replay_batch|mesh|random_seed|microbatches|dtype_policy|partial|allow_change|initial_checkpoint_path)$"
    r"|lm\.train\.(evaluation|text_evaluation|samples)\.|lm\.data\.batching\.\w+\.evaluation_batches\."
    r"|lm\.data\.user_tasks\.user(_labels)?\.\w+\.(train|validation|test)$"
    r"|lm\.data\.(vocabulary\.\w+\.name_or_path|tokenizer_json\.\w+\.folder)$"
    r"|lm\.data\.batching\.pipeline\.Pipeline\.|lm\.(mesh|inference\.(embed|evaluate|generate|score|vectors))\.)"
)
ENVIRONMENT = (
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
    "TF_XLA_FLAGS",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
_SHOWN = 5
ISA = ("avx", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
LM = Path(config.__file__).parents[1]


def run_metadata(data: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metadata that this process stores in the manifests of its checkpoints.

    Args:
        data: the fingerprint of the data.
        settings: arguments of `train` that affect the weights.
    """
    found = configuration()
    return {
        "config": found,
        "config_hash": digest(found),
        "data": json.loads(json.dumps(data)),
        "data_hash": digest(data),
        "run": dict(settings),
        "machine": machine(),
        "code": code(),
        "lm": __version__,
    }


def configuration() -> dict[str, str]:
    """Returns binding -> value of all settings that affect the weights; empty without gin."""
    try:
        bindings = config.loaded().bindings
    except ConfigError:
        return {}
    return {n: value for n, value in describe.values(bindings).items() if not HARMLESS.match(n)}


def machine() -> dict[str, Any]:
    """Returns what must match for equal bits: engine, versions, processor, environment."""
    return {
        "engine": keras.backend.backend(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "architecture": platform.machine(),
        "instructions": sorted({*processor.instructions()} & {*ISA}, key=ISA.index),
        "cores": len(os.sched_getaffinity(0)),
        "environment": _environment(),
        "devices": sorted(keras.distribution.list_devices()),
    }


def _environment() -> dict[str, str]:
    """Returns the environment variables that affect results."""
    found = {name: without_cache(os.environ.get(name, "")) for name in ENVIRONMENT}
    return {name: value for name, value in found.items() if value}


def format_machine(found: Mapping[str, Any]) -> str:
    """Returns a line that describes the machine on which results are reproducible bit for bit.

    Args:
        found: of `machine`.
    """
    versions = found["versions"]
    parts = [
        f"{found['engine']} {versions.get(found['engine'])}, keras {versions['keras']}",
        f"Python {found['python']}",
        f"{found['architecture']} with {' '.join(found['instructions']) or 'no vector unit named'}",
        f"{found['cores']} cores",
        f"devices {' '.join(found['devices'])}",
        *(f"{name}={value}" for name, value in found["environment"].items()),
    ]
    return f"equal bits are promised on: {', '.join(parts)}"


def digest(value: Any) -> str:
    """Returns the first 16 hexadecimal digits of the hash of plain JSON."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns name -> (old, new) of the entries that differ; "-" marks a missing one.

    Example:
        >>> changes({"a": 1, "b": 2}, {"b": 3})
        {'a': (1, '-'), 'b': (2, 3)}
    """
    new = json.loads(json.dumps(new))
    pairs = {n: (old.get(n, ABSENT), new.get(n, ABSENT)) for n in sorted({*old, *new})}
    return {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}


def check_unchanged(
    old: Mapping[str, Any], new: Mapping[str, Any], *, allow_change: Collection[str], run: Path
) -> list[str]:
    """Compares the metadata of a checkpoint with that of this process.

    Args:
        old: `config`, `data` and `run` of the checkpoint.
        new: the same of this process.
        allow_change: names that may differ: full, the last part, or patterns such as `lm.optim.*`.
        run: the run folder, for the message.

    Returns:
        The names that differ and are allowed to.

    Raises:
        UserError: with a note for each difference, old and new.
    """
    found = {
        name: pair
        for part in ("config", "data", "run")
        for name, pair in changes(old.get(part, {}), new[part]).items()
    }
    allowed = [n for n in found if any(_is_meant(n, pattern) for pattern in allow_change)]
    changed = {n: pair for n, pair in found.items() if n not in allowed}
    if changed:
        raise _begun_otherwise(changed, run)
    return allowed


def _is_meant(name: str, pattern: str) -> bool:
    """Returns whether a pattern is the name, its last part, or matches it."""
    return name.endswith(f".{pattern}") or fnmatch.fnmatchcase(name, pattern)


def _begun_otherwise(changed: Mapping[str, tuple[Any, Any]], run: Path) -> UserError:
    """Returns the error for a run with another configuration: the differences and three options."""
    error = UserError(f"{run} was started with other settings; {len(changed)} differ")
    was, now = ({n: pair[i] for n, pair in changed.items()} for i in range(2))
    with_differences(error, was, now, most=_SHOWN)
    last = sorted({name.rpartition(".")[2] for name in changed})
    names = last if len(last) <= _SHOWN else ["'*'"]
    error.add_note("a new run:     give another --workdir")
    error.add_note("go on anyway:  " + " ".join(f"--allow-change={name}" for name in names))
    error.add_note(f"start over:    remove {run}")
    return error


def write_config(workdir: Path) -> None:
    """Writes config.gin, from which the run can be repeated; does nothing if gin was not used."""
    try:
        text = config.config_str()
    except ConfigError:
        return
    disk.replace(workdir / "config.gin", text.encode(), what="the configuration")


def write_operative_config(workdir: Path) -> None:
    """Writes operative_config.gin: the values actually used, defaults included."""
    text = config.operative_config_str()
    if text:
        path = workdir / "operative_config.gin"
        disk.replace(path, text.encode(), what="the configuration")


def write_model_info(workdir: Path, program: Program) -> None:
    """Writes model-info.txt: path, shape, dtype and size of every weight, and the total."""
    weights = program.learned
    width = max((len(w.path) for w in weights), default=0)
    sizes = [int(np.prod(w.shape, dtype=np.int64)) for w in weights]
    lines = [
        f"{w.path:<{width}}  {tuple(w.shape)!s:<16} "
        f"{keras.backend.standardize_dtype(w.dtype):<9} {size:>14,}"
        for w, size in zip(weights, sizes, strict=True)
    ]
    text = "\n".join([*lines, f"Total number of parameters: {sum(sizes)}"]) + "\n"
    disk.replace(workdir / "model-info.txt", text.encode(), what="the sizes of the model")


def code() -> dict[str, str]:
    """Returns a hash of the files of each part of the code, 12 hexadecimal digits.

    The parts are the folders of `lm`, `tasks.support`, and every other module or package that the
    gin files import.
    """
    parts: dict[str, list[Path]] = defaultdict(list)
    for path in LM.rglob("*.py"):
        parts[".".join(["lm", *path.relative_to(LM).parts[:-1][:1]])].append(path)
    for name in _imported_modules():
        parts[name] = _files(name)
    return {name: _hash(files) for name, files in sorted(parts.items()) if files}


def _imported_modules() -> list[str]:
    """Returns the modules outside `lm` that the gin files import; empty without gin."""
    try:
        modules = config.loaded().modules
    except ConfigError:
        return []
    named = [name for name in modules if name.partition(".")[0] not in ("lm", "keras")]
    return [*named, "tasks.support"] if any(name.startswith("tasks") for name in named) else named


def _files(name: str) -> list[Path]:
    """Returns the source file of an imported module, or all files of a package."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return []
    path = Path(file)
    return list(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _hash(files: Iterable[Path]) -> str:
    """Returns a hash of file names and contents, independent of where they are installed."""
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.parent.name}/{path.name}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]
