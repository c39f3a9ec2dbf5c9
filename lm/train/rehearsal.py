"""A run up to its first step: all that it reads and builds, so that every fault is found at once.

Nothing is compiled, trained or written, but for the caches of what is read.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lm import engines
from lm.checkpoint import Store
from lm.train import metadata, state
from lm.train.process_group import ProcessGroup
from lm.train.root import build_engine, set_up_keras
from lm.train.training_batches import HashedBatches, check_first_batch

_DEFAULTS = {"random_seed": 0, "microbatches": 1, "dtype_policy": "float32"}


class Rehearsed(NamedTuple):
    """What was found.

    Attributes:
        facts: what the run would be: a name and a line each.
        faults: what is wrong, each with what to change.
    """

    facts: dict[str, str]
    faults: list[Exception]


def rehearse(arguments: Mapping[str, Any], workdir: Path | None) -> Rehearsed:
    """Build a run and read its first batch.

    Args:
        arguments: those of `lm.train.train`.
        workdir: its run folder; None does not look at one.
    """
    found = Rehearsed({}, [])
    settings = {name: arguments.get(name, default) for name, default in _DEFAULTS.items()}
    with _noting(found):
        set_up_keras(settings)
    data = _made(found, lambda: HashedBatches(arguments["train_data"]()))
    for make in (*arguments.get("evaluations", ()), arguments.get("samples")):
        if make is not None:
            _made(found, make)
    engine = _made(found, lambda: _engine(arguments, data, settings)) if data else None
    if data and engine:
        _describe(found, data, engine)
        with _noting(found):
            check_first_batch(engine.program.objective, next(data))
        if workdir:
            with _noting(found):
                _resume(found, workdir, engine, data, arguments, settings)
    elif not data:  # without data there are no shapes to build the model on, but its settings show
        _made(found, arguments["objective"])
        _made(found, arguments["optimizer"])
    return found


def _engine(arguments: Mapping[str, Any], data: HashedBatches, settings: Mapping[str, Any]) -> Any:
    """Return the engine of a run."""
    factory = arguments.get("engine") or engines.get()
    group, objective = ProcessGroup(arguments.get("mesh")), arguments["objective"]
    return build_engine(factory, group, objective, arguments["optimizer"], data, settings)


def _describe(found: Rehearsed, data: HashedBatches, engine: Any) -> None:
    """Note what the run trains, and on what."""
    sizes = [int(np.prod(w.shape, dtype=np.int64)) for w in engine.program.weights]
    shapes = {name: tuple(x.shape) for name, x in data.features.items()}
    found.facts["parameters"] = f"{sum(sizes):,}"
    found.facts["tokenizers"] = ", ".join(
        f"{user}: {size:,} ids" for user, size in data.vocabulary_sizes.items()
    )
    found.facts["a batch"] = ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _resume(
    found: Rehearsed,
    workdir: Path,
    engine: Any,
    data: HashedBatches,
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Note where the run would go on; a folder of another run is an error."""
    with contextlib.closing(Store(workdir)) as store:
        start = state.resume(
            store=store,
            engine=engine,
            data=data,
            metadata=metadata.run_metadata(data.fingerprint(), settings),
            allow_change=arguments["allow_change"],
        )
    place = f"from step {start.step} on" if start else "from the beginning"
    found.facts["trains"] = f"{place}, to step {arguments['train_steps']:,}"


def _made(found: Rehearsed, make: Callable[[], Any]) -> Any:
    """Return what a factory makes; None, and a fault noted, if it cannot."""
    made = None
    with _noting(found):
        made = make()
    return made


@contextlib.contextmanager
def _noting(found: Rehearsed) -> Iterator[None]:
    """Note an error of the body once, and go on after it."""
    try:
        yield
    except Exception as error:
        if str(error) not in map(str, found.faults):
            found.faults.append(error)
