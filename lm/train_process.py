"""`lm train` in a process of its own, for what trains several runs one after the other."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lm.errors import UserError


def train(name: str, flags: Sequence[str], workdir: Path) -> None:
    """Train a run, or go on with it; its process ends when this one does.

    Args:
        name: of the run, for the message.
        flags: of `lm train`, without --workdir.
        workdir: the run folder.

    Raises:
        UserError: the run failed; its own error is printed above.
    """
    command = [sys.executable, "-m", "lm", "train", *flags, f"--workdir={workdir}"]
    process = subprocess.Popen(command)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise UserError(
            f"{name}: lm train ended with {code}; correct the error and run the same command again"
        )
