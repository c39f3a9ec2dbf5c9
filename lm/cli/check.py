"""`lm train --check`: lists all errors of a run before its first step."""

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
    """Prints a description of the run, or raises one error that lists everything wrong with it.

    Args:
        args: the parsed flags of `lm train`.
        root: the function that the verb calls.
        handed: its parameters that the verb itself sets.

    Raises:
        ConfigError: listing all faults; if the gin files have any, those alone, and no framework is
            loaded.
    """
    refuse(flags.faults(args, roots=[root], handed=handed))
    config = flags.load(args, roots=[root])
    settings: dict[str, Any] = {"allow_change": (), **config.arguments(root)}
    if args.allow_change is not None:
        settings["allow_change"] = args.allow_change

    from lm.train.root import rehearse

    found = rehearse(settings, Path(args.workdir) if args.workdir else None)
    refuse([*found.faults, *_of_metrics(config)])
    output.print_table(["", ""], list(found.description.items()))
    print("\nNo errors found. Without --check the same command trains.")
    return 0


def _of_metrics(config: "Config") -> list[Exception]:
    """Returns errors of the task's own metrics, which `lm eval` would raise later."""
    from lm.data.evaluation.evaluation_task import try_metrics
    from lm.data.registry import task_registry

    if not (config.has(flags.TASK) and config.has(LENGTHS)):
        return []
    try:
        name = config.value(flags.TASK)
        if "validation" in task_registry.get(name).splits:
            try_metrics(name, "validation", config.value(LENGTHS))
    except Exception as error:  # report whatever a metric raises along with the other faults
        return [error]
    return []


def refuse(faults: Sequence[Exception]) -> None:
    """Raises one error with a note for each fault, if there are any.

    Raises:
        ConfigError: naming them.
    """
    from lm.cli.main import one_line

    # Reversed, so that of equal messages the first is kept; gin may add a location to later ones.
    different = {one_line(fault): fault for fault in reversed(faults)}
    if not different:
        return
    if len(different) == 1:
        raise faults[0]
    error = ConfigError(f"{len(different)} faults")
    for line, fault in reversed(different.items()):
        for note in (line, *getattr(fault, "__notes__", ())):
            error.add_note(note)
    raise error
