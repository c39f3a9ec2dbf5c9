"""The processes of a run: they agree where it begins, share its mesh, and the first one writes."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lm.checkpoint import Store
from lm.errors import UserError
from lm.mesh import cluster
from lm.train.goodput import Clock
from lm.train.stop_signals import Signals, StopSignals, SyncedSignals
from lm.types import Features


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
        """Return a context in which new variables are laid out over the mesh."""
        if self.mesh is None:
            return contextlib.nullcontext()
        return self.mesh.over(objective=objective, features=features, microbatches=microbatches)

    def store(self, store: Store) -> Any:
        """Return the checkpoints: to write on the first process, to read on the others."""
        return store if self.is_first else ReadOnlyStore(store)

    def reporter(self, make: Callable[..., Any], *, workdir: Path, **settings: Any) -> Any:
        """Return the reporter: what `make` returns on the first process, a silent one elsewhere."""
        return make(workdir=workdir, **settings) if self.is_first else NullReporter(workdir)

    def signals(self) -> StopSignals:
        """Return the signals of this process, or of all where there are several."""
        return Signals() if self.size == 1 else SyncedSignals()

    def check_step(self, step: int | None) -> None:
        """Wait for the other processes; all must have found the same checkpoint.

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
    def lost_peers_named(self) -> Iterator[None]:
        """Turn the error of a collective whose peer is gone into one line.

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
                "of them again with the same command: the run goes on from its newest checkpoint"
            ) from error

    def wait_for_end(self) -> None:
        """Wait until the first process has written everything."""
        if self.size > 1:
            cluster.barrier("the end of the run")


class ReadOnlyStore:
    """Finds checkpoints and writes none: the first process does.

    Args:
        store: the checkpoints.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Look it up in the store: its folder, the newest good checkpoint."""
        return getattr(self._store, name)

    def save(self, **contents: Any) -> None:
        """Do nothing."""

    def clean(self) -> None:
        """Do nothing."""


class NullReporter:
    """Reports nothing: the first process does.

    Args:
        workdir: the run folder.
    """

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.clock = Clock()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return a method that does nothing."""
        return lambda *args, **kwargs: None
