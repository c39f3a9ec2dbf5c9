"""Commands that run other `lm` commands."""

import subprocess
import sys

from lm.errors import UserError


def run(*words: str, what: str) -> None:
    """Run `lm WORDS` in a process of its own, which ends when this one does.

    Args:
        words: verb and flags.
        what: what it is a part of, for the error.

    Raises:
        UserError: it failed; its own error is printed above.
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
