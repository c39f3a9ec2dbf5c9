"""The files of a run folder that say what was run."""

from pathlib import Path

from lm import config, disk
from lm.engines import Program
from lm.errors import ConfigError
from lm.train import state


def write_config(workdir: Path) -> None:
    """Write config.gin, from which the run can be built again; nothing where gin was not used."""
    try:
        text = config.config_str()
    except ConfigError:
        return
    disk.replace(workdir / "config.gin", text.encode(), what="the configuration")


def write_operative(workdir: Path) -> None:
    """Write operative_config.gin: what was called, with its defaults."""
    text = config.operative_config_str()
    if text:
        path = workdir / "operative_config.gin"
        disk.replace(path, text.encode(), what="the configuration")


def write_model(workdir: Path, program: Program) -> None:
    """Write model-info.txt: every weight with shape, type and size, and their number."""
    text = state.sizes({w.path: w for w in program.weights}) + "\n"
    disk.replace(workdir / "model-info.txt", text.encode(), what="the sizes of the model")
