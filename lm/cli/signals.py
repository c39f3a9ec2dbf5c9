"""SIGTERM as an exception, so that files are closed and the exit code is 143."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class Terminated(BaseException):
    """The process was asked to end by SIGTERM; not an Exception, so that no handler swallows it."""


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM once; a second one ends the process at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


@contextlib.contextmanager
def terminated() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` while the body runs, where Python allows it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
