"""Running `lm` commands from other commands."""

import subprocess
import sys

from lm.errors import UserError


def run(*words: str, what: str) -> None:
    """Runs `lm WORDS` in a child process, which ends when this one does.

    Args:
        words: verb and flags.
        what: the experiment, for the error message.

    Raises:
        UserError: it failed, after printing its own error.
    """
    process = subprocess.Popen([sys.executable, "-m", "lm", *words])
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise UserError(
            f"{what}: lm {words[0]} ended with {code}; correct the error and run the same command "
            "again"
        )
