"""The files of a run folder that say what was run."""

import os
from pathlib import Path

from lm import config
from lm.engines import Program
from lm.errors import ConfigError
from lm.train import state


def write_config(workdir: Path) -> None:
    """Write config.gin, from which the run can be built again; nothing where gin was not used."""
    try:
        _replace(workdir / "config.gin", config.config_str())
    except ConfigError:
        return


def write_operative(workdir: Path) -> None:
    """Write operative_config.gin: what was called, with its defaults."""
    text = config.operative_config_str()
    if text:
        _replace(workdir / "operative_config.gin", text)


def write_model(workdir: Path, program: Program) -> None:
    """Write model-info.txt: every weight with shape, type and size, and their number."""
    _replace(workdir / "model-info.txt", state.sizes({w.path: w for w in program.weights}) + "\n")


def _replace(path: Path, text: str) -> None:
    """Write a whole file or none."""
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    with temporary.open("x") as file:  # never through a link
        file.write(text)
    os.replace(temporary, path)
