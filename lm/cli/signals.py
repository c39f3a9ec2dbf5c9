"""SIGTERM, SIGINT and SIGHUP as exceptions, so that files are closed; codes 143, 130, 129."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

REMINDER = 1.0  # seconds after which a process that has not ended gets it again


class Terminated(BaseException):
    """The process was asked to end by SIGTERM; not an Exception, so that no handler swallows it."""


class HungUp(BaseException):
    """The terminal was closed, which SIGHUP tells; not an Exception either."""


ERRORS = {
    signal.SIGTERM: Terminated,
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGHUP: HungUp,
}
# What a signal must find for us to handle it: a shell's background job ignores SIGINT, `nohup`
# has SIGHUP ignored.
_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
}


def _raise(number: int, frame: FrameType | None) -> None:
    """Handle a signal once; a second one ends the process at once."""
    error = ERRORS[signal.Signals(number)]

    def remind(number: int, frame: FrameType | None) -> None:
        # Nothing is being handled: the error was lost, as in a destructor or a bare `except` of a
        # module that was being imported.
        if sys.exception() is None and not _loads_extension(frame):
            raise error

    # A terminal that closes may send SIGHUP twice.
    signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
    signal.signal(signal.SIGALRM, remind)
    signal.setitimer(signal.ITIMER_REAL, REMINDER, REMINDER)
    if not _loads_extension(frame):
        raise error


def _loads_extension(frame: FrameType | None) -> bool:
    """Tell whether a compiled module is being loaded: TensorFlow's abort if they meet an error."""
    while frame:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _no_word_of_lost_errors() -> Iterator[None]:
    """Keep Python from printing an error of ours that a destructor or a collector's hook lost.

    It is raised again a moment later; only a traceback would be left of the first.
    """
    before = sys.unraisablehook

    def hook(lost: Any) -> None:
        if lost.exc_type not in ERRORS.values():
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def terminated() -> Iterator[None]:
    """Turn signals into `ERRORS` while the body runs, where Python allows it.

    None of them can be swallowed for good.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*ERRORS, signal.SIGALRM)}
    for number in ERRORS:
        if number not in _DEFAULTS or before[number] is _DEFAULTS[number]:
            signal.signal(number, _raise)
    try:
        with _no_word_of_lost_errors():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
