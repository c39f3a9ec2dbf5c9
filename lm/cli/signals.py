"""Turns SIGTERM, SIGINT and SIGHUP into exceptions, so that files are closed on exit."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

REMINDER = 1.0  # seconds after which the exception is raised again if the process has not ended


class Terminated(BaseException):
    """SIGTERM was received; not an Exception, so that `except Exception` does not catch it."""


class HungUp(BaseException):
    """SIGHUP was received: the terminal was closed; not an Exception either."""


ERRORS = {
    signal.SIGTERM: Terminated,
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGHUP: HungUp,
}
# Handle a signal only if its handler is the default one: a shell's background job ignores SIGINT,
# and `nohup` ignores SIGHUP.
_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
}


def _raise(number: int, frame: FrameType | None) -> None:
    """Handles a signal once; a second one ends the process at once."""
    error = ERRORS[signal.Signals(number)]

    def remind(number: int, frame: FrameType | None) -> None:
        # The exception was lost, in a destructor or a bare `except` of a module being imported.
        if sys.exception() is None and not _loads_extension(frame):
            raise error

    # A terminal that closes may send SIGHUP twice.
    signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
    signal.signal(signal.SIGALRM, remind)
    signal.setitimer(signal.ITIMER_REAL, REMINDER, REMINDER)
    if not _loads_extension(frame):
        raise error


def _loads_extension(frame: FrameType | None) -> bool:
    """Returns whether an extension module is being loaded: TensorFlow's abort on an exception."""
    while frame:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _no_word_of_lost_errors() -> Iterator[None]:
    """Keeps Python from printing our exceptions when a destructor or a GC hook loses them.

    They are raised again a moment later; the first one would only leave a traceback.
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
    """Turns signals into `ERRORS` while the body runs, in the main thread.

    An exception that gets lost is raised again.
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
