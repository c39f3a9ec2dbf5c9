"""A signal asks the loop to save and end; a second one ends the process at once."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any

from lm.types import Features, Tensor

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """A signal came during what is done again when the run goes on."""


class Signals:
    """Notes SIGTERM, SIGINT and SIGHUP while the body runs, where Python allows handlers.

    SIGHUP stays ignored where it was: `nohup` starts a run that is to outlive its terminal.

    Attributes:
        received: the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            numbers = [n for n in HANDLED if not (n == signal.SIGHUP and is_kept)]
            self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 + its number: 143 for SIGTERM, 130 for SIGINT, 129 for SIGHUP; 0 if none came."""
        return 0 if self.received is None else 128 + self.received

    def restart(self) -> None:
        """Do nothing: what follows may take longer or shorter, and no other process is asked."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A terminal that closes sends SIGHUP more than once, the end of a session SIGTERM with it.
        if number == signal.SIGHUP:
            self.received = self.received or number
        elif self.received in (None, signal.SIGHUP):
            self.received = number
        else:
            os._exit(128 + number)


class Interruptible:
    """An engine that evaluates no further batch after a signal.

    Args:
        engine: the engine.
        signals: `Signals` or `team.Agreed`.
    """

    def __init__(self, engine: Any, signals: Signals) -> None:
        self._engine = engine
        self._signals = signals

    def __getattr__(self, name: str) -> Any:
        """Look it up in the engine."""
        return getattr(self._engine, name)

    def evaluations(
        self, batches: Iterable[Features]
    ) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
        """Yield the terms of every batch.

        Raises:
            Stopped: a signal came.
        """
        return self._engine.evaluations(self._checked(batches))

    def _checked(self, batches: Iterable[Features]) -> Iterator[Features]:
        """Yield batches until a signal comes; the last one that was read is not evaluated."""
        for batch in batches:
            self.check()
            yield batch

    def check(self) -> None:
        """Go on unless a signal came.

        Raises:
            Stopped: one came.
        """
        if self._signals.received is not None:
            raise Stopped
