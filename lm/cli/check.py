"""`lm train --check`: every fault of a run at once, before its first step."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.cli import flags, output
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.config.parse import Config

LENGTHS = "TASK_FEATURE_LENGTHS"


def check_run(args: argparse.Namespace, *, root: str, handed: Sequence[str]) -> int:
    """Print what the run would be; what is wrong with it is one error that lists all faults.

    Args:
        args: what the parser of `lm train` read.
        root: the function that the verb calls.
        handed: its parameters that the verb sets.

    Raises:
        ConfigError: naming every fault; those of the gin files first, without a framework.
    """
    refuse(flags.faults(args, roots=[root], handed=handed))
    config = flags.load(args, roots=[root])
    settings: dict[str, Any] = {**config.arguments(root), "allow_change": args.allow_change or ()}

    from lm.train.root import rehearse

    found = rehearse(settings, Path(args.workdir) if args.workdir else None)
    refuse([*found.faults, *_of_metrics(config)])
    output.print_table(["", ""], list(found.description.items()))
    print("\nNothing is wrong. Without --check the same command compiles the step and trains.")
    return 0


def _of_metrics(config: "Config") -> list[Exception]:
    """Return why the metrics of the task cannot judge its texts, which `lm eval` will ask for."""
    from lm.data.evaluation.evaluation_task import try_metrics
    from lm.data.registry import task_registry

    if not (config.has(flags.TASK) and config.has(LENGTHS)):
        return []
    try:
        name = config.value(flags.TASK)
        if "validation" in task_registry.get(name).splits:
            try_metrics(name, "validation", config.value(LENGTHS))
    except Exception as error:  # whatever a metric raises is a fault beside the others
        return [error]
    return []


def refuse(faults: Sequence[Exception]) -> None:
    """Raise one error for all faults, each a note of it; nothing if there is none.

    Raises:
        ConfigError: naming them.
    """
    from lm.cli.main import one_line

    different = {one_line(fault): fault for fault in reversed(faults)}  # gin adds where it was
    if not different:
        return
    if len(different) == 1:
        raise faults[0]
    error = ConfigError(f"{len(different)} faults")
    for line, fault in reversed(different.items()):
        for note in (line, *getattr(fault, "__notes__", ())):
            error.add_note(note)
    raise error
