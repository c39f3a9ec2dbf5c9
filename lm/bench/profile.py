"""Where the time of a training step and of generation goes: products, other kinds, idle time."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lm import engines
from lm.bench import hlo
from lm.bench.hlo import Operation
from lm.bench.measure import Sizes, prompts_of, search_call
from lm.bench.synthetic import synthetic_batch
from lm.bench.trace import Event, Trace, record

PRODUCTS, OTHER = "matrix products", "other passes"
# Kinds of operations other than products, with the scopes that they match; the first match wins.
KINDS = {
    "optimizer": r"optimizer|adam|adafactor|conditional_update|global_norm",
    "dropout": r"dropout|threefry",
    "loss": r"loss|cross_entropy|token_prediction/(?!decoder|encoder)|log_softmax",
    "attention": r"attention|heads|softmax",
    "activation": r"[gG]elu|[rR]elu|silu|swish|[tT]anh|[eE]rf|sigmoid",
    "norm": r"norm",
    "embeddings": r"embedding|position|[gG]ather",
}


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name: kind of work.
        seconds: time per call, summed over all threads.
        share: fraction of the time of all operations.
        largest: the operations that take longest, with the layers that run them.
    """

    name: str
    seconds: float
    share: float
    largest: list[str]


class Profile(NamedTuple):
    """The profile of a call.

    Attributes:
        seconds: wall time of one call.
        rows: kinds of work, the largest first.
        waiting: seconds per call in which no thread runs an operation.
        faults: page faults.
        system_seconds: time in the kernel.
    """

    seconds: float
    rows: list[Row]
    waiting: float
    faults: float
    system_seconds: float

    def record(self) -> dict[str, Any]:
        """Returns it as plain names and values."""
        return {**self._asdict(), "rows": [row._asdict() for row in self.rows]}


def profiles(*, objective: Any, optimizer: Any, sizes: Sizes, folder: Path) -> dict[str, Profile]:
    """Returns the profiles of a training step and of generation.

    Args:
        objective: an objective with a `model`.
        optimizer: the optimizer.
        sizes: batch size, lengths and number of windows; each window is one recorded call.
        folder: where XLA dumps compiled programs, see `hlo.dump_to`.
    """
    rows, inputs, targets, new_tokens, beams, windows = sizes
    batch = synthetic_batch(objective, rows=rows, inputs=inputs, targets=targets)
    engine = engines.get()(objective=objective, optimizer=optimizer, features=batch)

    def step() -> None:
        engine.step(batch)
        engine.logs()  # waits for the device

    found = {"training step": profile(step, folder, windows)}
    if "decoder" in objective.model.sides:
        engine.pull()
        prompts = prompts_of(batch, new_tokens)
        search = search_call(objective.model, prompts, new_tokens=new_tokens, beams=beams)
        found["search"] = profile(search, folder, windows)
    return found


def profile(call: Callable[[], Any], folder: Path, calls: int) -> Profile:
    """Returns the profile of a call that waits for its results; the first call compiles.

    Args:
        call: one step, or one search.
        folder: where XLA dumps compiled programs.
        calls: number of recorded calls.
    """
    before = hlo.dumped(folder)
    call()
    programs = hlo.read(hlo.dumped(folder) - before)
    return summary(record(call, calls), programs, calls)


def summary(trace: Trace, programs: Mapping[str, Operation], calls: int) -> Profile:
    """Returns the profile per call, given a trace of several calls."""
    leaves = [e for e in trace.events if not is_container(programs.get(e.name))]
    seconds: dict[str, dict[str, float]] = {}
    for event in leaves:
        operation = programs.get(event.name)
        kind = seconds.setdefault(kind_of(operation), defaultdict(float))
        kind[described(event.name, operation)] += (event.end - event.start) / calls
    sums = {name: sum(kind.values()) for name, kind in seconds.items()}
    total = sum(sums.values()) or 1.0
    rows = [Row(name, sums[name], sums[name] / total, top(kind)) for name, kind in seconds.items()]
    return Profile(
        seconds=trace.seconds / calls,
        rows=sorted(rows, key=lambda row: -row.seconds),
        waiting=max(trace.seconds - covered(leaves), 0.0) / calls,
        faults=trace.faults / calls,
        system_seconds=trace.system_seconds / calls,
    )


def kind_of(operation: Operation | None) -> str:
    """Returns the kind of work of an operation."""
    if operation is None:
        return OTHER
    if operation.is_product:
        return PRODUCTS
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, operation.scope))
    return next(found, OTHER)


def is_container(operation: Operation | None) -> bool:
    """Returns whether the time of an operation is that of others inside it."""
    return operation is not None and operation.is_container


def described(name: str, operation: Operation | None) -> str:
    """Returns an operation's name without its number, and the last part of its scope."""
    scope = operation.scope if operation else ""
    return f"{re.sub(r'[.][0-9]+$', '', name)} ({'/'.join(scope.split('/')[-3:])})"


def top(kind: Mapping[str, float], count: int = 3) -> list[str]:
    """Returns the operations that take longest, with their milliseconds."""
    names = sorted(kind, key=lambda name: -kind[name])[:count]
    return [f"{name} {1e3 * kind[name]:.2f} ms" for name in names]


def covered(events: Iterable[Event]) -> float:
    """Returns the seconds in which at least one event is running.

    >>> covered([Event("a", 0, 2), Event("b", 1, 3), Event("c", 5, 6)])
    4.0
    """
    total, until = 0.0, float("-inf")
    for event in sorted(events, key=lambda event: event.start):
        total += max(event.end - max(event.start, until), 0.0)
        until = max(until, event.end)
    return total
