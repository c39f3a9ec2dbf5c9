"""Several processes in one run: joining, synchronising, gathering arrays.

Each process drives its own devices and runs the same program on the same global batches; either all
of them begin a step or none does.
"""

import atexit
import os
import sys

import keras
import numpy as np

from lm.errors import ConfigError
from lm.parts import part
from lm.types import Tensor

ADDRESSES, PROCESSES, INDEX = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)

_CONNECTION_ERRORS = (
    "Connection reset",
    "Connection closed",
    "Socket closed",
    "UNAVAILABLE",
    "heartbeat",
    "NCCL",
)


@part
def addressed() -> None:
    """Joins the cluster described by Keras' three environment variables.

    `KERAS_DISTRIBUTION_JOB_ADDRESSES` is host:port of process 0, `KERAS_DISTRIBUTION_NUM_PROCESSES`
    the number of processes, `KERAS_DISTRIBUTION_PROCESS_ID` the index of this process.

    Raises:
        ConfigError: one of them is not set.
    """
    missing = [name for name in (ADDRESSES, PROCESSES, INDEX) if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"CLUSTER = @cluster.addressed needs {', '.join(missing)} in the environment of every "
            "process; on a TPU pod or under Slurm take @cluster.detected"
        )
    _join(*(os.environ[name] for name in (ADDRESSES, PROCESSES, INDEX)))


@part
def detected() -> None:
    """Joins the cluster that JAX detects: a TPU pod, Slurm, Open MPI, Kubernetes."""
    _join(None, None, None)


def count() -> int:
    """Returns the number of processes."""
    import jax

    return jax.process_count()


def index() -> int:
    """Returns the index of this process; only process 0 writes files."""
    import jax

    return jax.process_index()


def max_over_processes(*numbers: int) -> list[int]:
    """Returns the maximum of each number over all processes; every process must call it."""
    from jax.experimental import multihost_utils

    given = multihost_utils.process_allgather(np.array([numbers], np.int32), tiled=True)
    return np.max(given, axis=0).tolist()


def barrier(reason: str) -> None:
    """Waits until all processes have called it.

    Args:
        reason: name of the barrier, the same in all processes.
    """
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(reason)


def is_lost(error: BaseException) -> bool:
    """Returns whether an error of the engine means that another process is unreachable.

    >>> is_lost(RuntimeError("UNKNOWN: Gloo all-to-all failed: Connection reset by peer"))
    True
    >>> is_lost(RuntimeError("INVALID_ARGUMENT: shapes differ"))
    False
    """
    return any(word in str(error) for word in _CONNECTION_ERRORS)


def exit_without_peers() -> None:
    """Makes this process end with exit code 1 after its own exit handlers.

    At exit JAX would wait for the heartbeat of a process that has died, and then abort.
    """

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    atexit.register(end)


def host_copy(array: Tensor) -> np.ndarray:
    """Returns a copy of a global array on the host; all processes that share it must call this.

    Args:
        array: an array of any engine.
    """
    if getattr(array, "is_fully_addressable", True):
        return np.asarray(array).copy()
    if array.is_fully_replicated:
        return np.array(array.addressable_data(0))
    from jax.experimental import multihost_utils

    return np.array(multihost_utils.process_allgather(array, tiled=True))


def _join(address: str | None, processes: str | None, number: str | None) -> None:
    """Starts JAX's distributed runtime, once per process."""
    import jax

    if jax.distributed.is_initialized():
        return
    keras.distribution.initialize(
        address,
        None if processes is None else int(processes),
        None if number is None else int(number),
    )
