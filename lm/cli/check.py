"""`lm train --check`: every fault of a run at once, before its first step."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm.cli import flags, output
from lm.errors import ConfigError


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
    refuse(found.faults)
    output.print_table(["", ""], list(found.description.items()))
    print("\nNothing is wrong. Without --check the same command compiles the step and trains.")
    return 0


def refuse(faults: Sequence[Exception]) -> None:
    """Raise one error for all faults, each a note of it; nothing if there is none.

    Raises:
        ConfigError: naming them.
    """
    from lm.cli.main import one_line

    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    error = ConfigError(f"{len(faults)} faults")
    for fault in faults:
        for line in (one_line(fault), *getattr(fault, "__notes__", ())):
            error.add_note(line)
    raise error
