"""The processes of a run: they start at the same step, share a mesh, and stop together.

Only the first process writes files. A signal asks the loop to save and stop; a second one ends the
process at once.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from lm.checkpoint import Store
from lm.engines import Engine
from lm.engines.program import Ratios
from lm.errors import UserError
from lm.mesh import cluster
from lm.train.goodput import Clock
from lm.types import Features, Tree

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """A signal came during an evaluation, which is repeated when the run resumes."""


class Signals:
    """Records SIGTERM, SIGINT and SIGHUP while the body runs, in the main thread.

    If SIGHUP is already ignored it stays so: under `nohup` a run outlives its terminal.

    Attributes:
        received: the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            numbers = [n for n in HANDLED if not (n == signal.SIGHUP and is_ignored)]
            self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *raised: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; 0 if none came."""
        return 0 if self.received is None else 128 + self.received

    def restart(self) -> None:
        """Does nothing: there is no other process to exchange signals with."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A closing terminal may send SIGHUP more than once, an ending session SIGTERM as well.
        if number == signal.SIGHUP:
            self.received = self.received or number
        elif self.received in (None, signal.SIGHUP):
            self.received = number
        else:
            os._exit(128 + number)


class SyncedSignals:
    """The signals of all processes: all see the first one at the same step.

    The processes exchange signals about once a second, and at least every 8 steps of the slowest:
    a signal is answered soon, and short steps are not slowed down by the exchange. Batches of an
    evaluation count as steps.
    """

    MAX_PERIOD = 8

    def __init__(self) -> None:
        self._own = Signals()
        self._found: int | None = None
        self.restart()

    def __enter__(self) -> "SyncedSignals":
        self._own.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._own.__exit__(*raised)

    def restart(self) -> None:
        """Exchanges at the next two reads: evaluation batches and steps differ in length."""
        self._period = self._left = 1
        self._since = time.monotonic() - 1  # as if a step had taken a second

    @property
    def received(self) -> int | None:
        """The signal, or None; every process must read it once per step or evaluation batch."""
        self._left -= 1
        if self._found is None and self._left == 0:
            self._exchange()
        return self._found

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; 0 if none came."""
        return 0 if self._found is None else 128 + self._found

    def _exchange(self) -> None:
        """Exchanges signals, and the milliseconds of a step, which determine the next period."""
        took = int(1000 * (time.monotonic() - self._since) / self._period)
        number, slowest = cluster.max_over_processes(self._own.received or 0, took)
        self._found = number or None
        self._period = self._left = max(1, min(self.MAX_PERIOD, 1000 // max(slowest, 1)))
        self._since = time.monotonic()


StopSignals: TypeAlias = Signals | SyncedSignals


class Interruptible:
    """An engine whose evaluations stop at a signal.

    Args:
        engine: the engine.
        signals: those of this process or of all.
    """

    def __init__(self, engine: Engine, signals: StopSignals) -> None:
        self._engine = engine
        self._signals = signals

    def __getattr__(self, name: str) -> Any:
        """Delegates to the engine."""
        return getattr(self._engine, name)

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yields the terms of every batch.

        Raises:
            Stopped: a signal came.
        """
        return self._engine.evaluations(self._checked(batches))

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yields the terms of every batch and what the objective predicts for its rows.

        Raises:
            Stopped: a signal came.
        """
        return self._engine.predictions(self._checked(batches))

    def _checked(self, batches: Iterable[Features]) -> Iterator[Features]:
        """Yields batches until a signal comes."""
        for batch in batches:
            self.check()
            yield batch

    def check(self) -> None:
        """Raises if a signal came.

        Raises:
            Stopped: one came.
        """
        if self._signals.received is not None:
            raise Stopped


class ProcessGroup:
    """The processes of a run.

    Args:
        mesh: factory of the mesh; None is one process with one device.

    Attributes:
        mesh: the mesh, started, or None.
        size: number of processes.
        is_first: whether this is the one that writes.
    """

    def __init__(self, mesh: Callable[[], Any] | None) -> None:
        self.mesh = None if mesh is None else mesh()
        self.size, self.is_first = 1, True
        if self.mesh is not None:
            self.mesh.start()
            self.size, self.is_first = cluster.count(), cluster.index() == 0

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of the engine that only a mesh needs."""
        return {} if self.mesh is None else {"mesh": self.mesh}

    def on_mesh(
        self, objective: Callable[[], Any], features: Features, microbatches: int
    ) -> contextlib.AbstractContextManager[Any]:
        """Returns a context in which new variables are laid out over the mesh."""
        if self.mesh is None:
            return contextlib.nullcontext()
        return self.mesh.over(objective=objective, features=features, microbatches=microbatches)

    def store(self, store: Store) -> Any:
        """Returns the store: writable on the first process, read-only on the others."""
        return store if self.is_first else ReadOnlyStore(store)

    def reporter(self, make: Callable[..., Any], *, workdir: Path, **settings: Any) -> Any:
        """Returns what `make` makes on the first process, and a silent reporter on the others."""
        return make(workdir=workdir, **settings) if self.is_first else NullReporter(workdir)

    def signals(self) -> StopSignals:
        """Returns the signals of this process, or those of all processes if there are several."""
        return Signals() if self.size == 1 else SyncedSignals()

    def check_step(self, step: int | None) -> None:
        """Checks that all processes have found the same checkpoint.

        Args:
            step: of the checkpoint that this process found, or None.

        Raises:
            UserError: another process found a different one.
        """
        if self.size == 1:
            return
        found = -1 if step is None else step
        if cluster.max_over_processes(found, -found) != [found, -found]:
            raise UserError(
                "the processes find different checkpoints; --workdir must be one folder that all "
                "of them see"
            )

    @contextlib.contextmanager
    def lost_peers_named(self) -> Iterator[None]:
        """Turns the error of a collective with a lost peer into one line.

        Raises:
            UserError: another process has ended or cannot be reached.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not cluster.is_lost(error):
                raise
            cluster.exit_without_peers()
            raise UserError(
                f"another process of the run has ended ({str(error).splitlines()[0]}); start all "
                "of them again with the same command: the run resumes from its newest checkpoint"
            ) from error

    def wait_for_end(self) -> None:
        """Waits until the first process has written everything."""
        if self.size > 1:
            cluster.barrier("the end of the run")


class ReadOnlyStore:
    """Finds checkpoints but writes none, since the first process does.

    Args:
        store: the checkpoints.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Delegates to the store."""
        return getattr(self._store, name)

    def save(self, **contents: Any) -> None:
        """Does nothing."""

    def clean(self) -> None:
        """Does nothing."""


class NullReporter:
    """Reports nothing, since the first process does.

    Args:
        workdir: the run folder.
    """

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.clock = Clock()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Returns a method that does nothing."""
        return lambda *args, **kwargs: None
