"""The engine's own trace of a call: when and on which thread each operation ran."""

import importlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras

_OPERATION = "hlo_op"


class Event(NamedTuple):
    """One executed operation, in seconds from the start of the trace."""

    name: str
    start: float
    end: float


class Trace(NamedTuple):
    """The recording of a trace.

    Attributes:
        events: operations of all threads.
        seconds: wall time of the calls.
        faults: page faults.
        system_seconds: time in the kernel, over all cores.
    """

    events: list[Event]
    seconds: float
    faults: int
    system_seconds: float


def record(call: Callable[[], Any], times: int) -> Trace:
    """Calls a function several times and returns the trace."""
    start, stop, read = {"jax": _jax, "tensorflow": _tensorflow}[keras.backend.backend()]()
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF)
        start(folder)
        started = time.perf_counter()
        for _ in range(times):
            call()
        seconds = time.perf_counter() - started
        stop()
        after = resource.getrusage(resource.RUSAGE_SELF)
        (file,) = Path(folder).rglob("*.xplane.pb")
        events = list(read(file))
    faults = after.ru_minflt - before.ru_minflt
    return Trace(events, seconds, faults, after.ru_stime - before.ru_stime)


def _jax() -> tuple[Callable[[str], Any], Callable[[], Any], Callable[[Path], Iterator[Event]]]:
    """Returns JAX's functions that start, stop and read a trace."""
    from jax import profiler

    def read(file: Path) -> Iterator[Event]:
        for plane in profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    if any(name == _OPERATION for name, _ in event.stats):
                        start = event.start_ns * 1e-9
                        yield Event(event.name, start, start + event.duration_ns * 1e-9)

    return profiler.start_trace, profiler.stop_trace, read


def _tensorflow() -> tuple[
    Callable[[str], Any], Callable[[], Any], Callable[[Path], Iterator[Event]]
]:
    """Returns TensorFlow's functions that start, stop and read a trace."""
    profiler = importlib.import_module("tensorflow").profiler.experimental
    format_of_it = importlib.import_module("tensorflow.tsl.profiler.protobuf.xplane_pb2")

    def read(file: Path) -> Iterator[Event]:
        space = format_of_it.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    names = [plane.stat_metadata[x.metadata_id].name for x in event.stats]
                    if _OPERATION in names:
                        start = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
                        name = plane.event_metadata[event.metadata_id].name
                        yield Event(name, start, start + event.duration_ps * 1e-12)

    return profiler.start, profiler.stop, read
