"""A run on a mesh, in one process or several: the first writes, all agree and wait."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lm.checkpoint import Store
from lm.errors import UserError
from lm.mesh import cluster
from lm.train.goodput import Clock
from lm.train.signals import Signals


class Team:
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
    def options(self) -> dict[str, Any]:
        """What the engine is given besides."""
        return {} if self.mesh is None else {"mesh": self.mesh}

    def over(
        self, objective: Callable[[], Any], features: Mapping[str, Any], microbatches: int
    ) -> Any:
        """Return a context in which the variables that are made lie on the mesh."""
        if self.mesh is None:
            return contextlib.nullcontext()
        return self.mesh.over(objective=objective, features=features, microbatches=microbatches)

    def store(self, store: Store) -> Any:
        """Return what this process uses for checkpoints."""
        return store if self.is_first else Reader(store)

    def reports(self, make: Callable[..., Any], *, workdir: Path, **settings: Any) -> Any:
        """Return what this process tells through."""
        return make(workdir=workdir, **settings) if self.is_first else Silence(workdir)

    def signals(self) -> Signals:
        """Return the signals of this process, or what all have agreed on."""
        return Signals() if self.size == 1 else Agreed()  # type: ignore[return-value]

    def meet(self, step: int | None) -> None:
        """Wait for the others before the run begins.

        Args:
            step: of the checkpoint that this process found.

        Raises:
            UserError: another process found another one.
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
    def together(self) -> Iterator[None]:
        """Return a context for what the processes do together.

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
                f"another process of the run has ended ({str(error).splitlines()[0]}); give all "
                "of them their command again: the run goes on from its newest checkpoint"
            ) from error

    def part(self) -> None:
        """Wait until the first has written everything."""
        if self.size > 1:
            cluster.barrier("the end of the run")


class Agreed:
    """The signals of all processes: the first that any received, known to all at one step.

    They ask each other when the slowest has made as many steps as fit into a second, at least one
    and at most 8: a signal waits for little more than the step under way, and short steps do not
    pay for the exchange. The batches of an evaluation count as steps.
    """

    MOST = 8

    def __init__(self) -> None:
        self._own = Signals()
        self._found: int | None = None
        self.restart()

    def __enter__(self) -> "Agreed":
        self._own.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._own.__exit__(kind, error, traceback)

    def restart(self) -> None:
        """Ask at the next two looks: what follows may take longer, such as steps after batches."""
        self._period = self._left = 1
        self._since = time.monotonic() - 1  # as if a step had taken a second

    @property
    def received(self) -> int | None:
        """The signal, or None; every process looks as often, once a step or evaluation batch."""
        self._left -= 1
        if self._found is None and self._left == 0:
            self._ask()
        return self._found

    @property
    def exit_code(self) -> int:
        """128 + the signal's number."""
        return 0 if self._found is None else 128 + self._found

    def _ask(self) -> None:
        """Exchange signals, and the milliseconds of a step, which decide when to ask again."""
        took = int(1000 * (time.monotonic() - self._since) / self._period)
        number, slowest = cluster.max_over_processes(self._own.received or 0, took)
        self._found = number or None
        self._period = self._left = max(1, min(self.MOST, 1000 // max(slowest, 1)))
        self._since = time.monotonic()


class Reader:
    """Finds checkpoints and writes none.

    Args:
        store: the checkpoints.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Look it up in the store: where checkpoints lie, which is the newest good one."""
        return getattr(self._store, name)

    def save(self, **contents: Any) -> None:
        """Leave it to the first process."""

    def clean(self) -> None:
        """Leave it to the first process."""


class Silence:
    """Tells nothing, whatever it is asked to tell: the first process does.

    Args:
        workdir: the run folder.
    """

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.clock = Clock()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return a method that does nothing."""
        return lambda *args, **kwargs: None
