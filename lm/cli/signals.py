"""SIGTERM as an exception, so that files are closed and the exit code is 143."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

REMINDER = 2.0  # seconds after which a process that has not ended is told again


class Terminated(BaseException):
    """The process was asked to end by SIGTERM; not an Exception, so that no handler swallows it."""


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM once; a second one ends the process at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, REMINDER, REMINDER)
    raise Terminated


def _remind(number: int, frame: FrameType | None) -> NoReturn:
    """Handle SIGALRM: what was raised was lost, as in a destructor or a module's bare `except`."""
    raise Terminated


@contextlib.contextmanager
def terminated() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` while the body runs, where Python allows it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGTERM: _raise, signal.SIGALRM: _remind}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
