"""`lm doctor`: checks the installation, and whether a run fits into memory and on disk."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lm.cli import flags, output
from lm.cli.check import refuse
from lm.errors import UserError

if TYPE_CHECKING:
    from lm.config.parse import Config
    from lm.reliability.doctor import Finding
    from lm.types import Features

HELP = "check the installation, and memory and disk space for a gin file"
EXAMPLE = """examples:
  lm doctor
  lm doctor --gin_file=quickstart.gin --workdir=runs/quickstart --json

Exit code 0: no problem; 1: a row is BAD. Every such row says what to do."""

_LENGTH = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    flags.add_gin(parser)
    parser.add_argument(
        "--workdir",
        default="runs",
        metavar="DIR",
        help="folder whose free space is checked (default: runs)",
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a row per check."""
    from lm.reliability import doctor

    findings = list(doctor.examine(args.workdir))
    if args.gin_file or args.gin_bindings:
        findings += _of_a_run(args)
    if args.json:
        output.print_json([found._asdict() for found in findings])
    else:
        output.print_table(["check", "verdict", "found"], [found[:3] for found in findings])
        for found in findings:
            if found.advice:
                print(f"{found.check}: {found.advice}")
    return int(any(found.verdict == doctor.BAD for found in findings))


def _of_a_run(args: argparse.Namespace) -> Iterator["Finding"]:
    """Yields the findings on memory, disk and task of a configured run."""
    bindings = flags.scan(args).bindings
    macros = {binding.written for binding in bindings} & {"MODEL", "OPTIMIZER"}
    is_run = any(binding.target == "lm.train.train" for binding in bindings)
    roots = ["lm.train.train"] if is_run else sorted(macros)
    refuse(flags.faults(args, roots=roots))
    config = flags.load(args, roots=roots)

    from lm.engines import memory
    from lm.reliability import doctor

    if config.has("MIXTURE_OR_TASK_NAME"):
        yield _task(config)
    needed = memory.need(
        model=config.value("MODEL"),
        optimizer=config.get("OPTIMIZER"),
        features=_features(config),
    )
    free = memory.available()
    fits = needed.total <= free
    yield doctor.Finding(
        "memory",
        doctor.GOOD if fits else doctor.BAD,
        f"{memory.gibibytes(free)} free, at least {needed} needed",
        "" if fits else "a smaller model, optim/adafactor.gin, a smaller BATCH_SIZE, a mesh",
    )
    copies = 4 if config.has("OPTIMIZER") else 1  # three, and the one being written
    yield doctor.disk("this run", Path(args.workdir), copies * needed.checkpoint)


def _task(config: "Config") -> "Finding":
    """Checks that the task is known, its data are available and each feature has a length."""
    from lm.data.registry import task_registry
    from lm.data.rows.converter import row_shapes
    from lm.reliability import doctor

    name = config.value("MIXTURE_OR_TASK_NAME")
    try:
        task_registry.require_data(task_registry.find(name), "train")
        if config.has("FEATURE_CONVERTER") and config.has("TASK_FEATURE_LENGTHS"):
            row_shapes(config.value("FEATURE_CONVERTER"), config.value("TASK_FEATURE_LENGTHS"))
    except UserError as error:
        return doctor.Finding("task", doctor.BAD, name, str(error))
    return doctor.Finding("task", doctor.GOOD, name)


def _features(config: "Config") -> "Features":
    """Returns the shapes of a batch according to the macros, or of one row."""
    import keras

    from lm.models.model import token_features

    lengths = config.get("TASK_FEATURE_LENGTHS", {})
    # A length that fits the positions of the model.
    length = sum(lengths.values()) or min(config.get("MAX_SEQUENCE_LENGTH", _LENGTH), _LENGTH)
    return token_features(keras.KerasTensor((config.get("BATCH_SIZE", 1), length), "int32"))
