"""The entry function of training, `train.train` in gin, and the dry run of `lm train --check`."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from lm import engines
from lm.checkpoint import Store
from lm.checkpoint.store import local
from lm.errors import ConfigError
from lm.lock import lock
from lm.parts import entry
from lm.ranges import NonNegativeInt, PositiveInt, Seed
from lm.train import metadata, skipped_batch, state
from lm.train.evaluation import Evaluation
from lm.train.logger import Logger
from lm.train.loop import Loop, Patience, Plan
from lm.train.process_group import ProcessGroup, StopSignals
from lm.train.progress import log
from lm.train.reporter import Reporter
from lm.train.tensorboard import TensorBoard
from lm.train.training_batches import (
    HashedBatches,
    check_first_batch,
    check_labels,
    check_vocabulary,
)
from lm.wall import wall

Factory = Callable[[], Any]

_MAX_SHOWN = 4


@entry
def train(  # noqa: PLR0913 - the root of a run's configuration, keyword-only
    *,
    workdir: str,
    objective: Factory,
    optimizer: Factory,
    train_data: Factory,
    train_steps: PositiveInt,
    evaluations: Sequence[Callable[[], Evaluation]] = (),
    samples: Factory | None = None,
    loggers: Sequence[Callable[[], Logger]] = (TensorBoard,),
    eval_period: PositiveInt = 1000,
    save_period: PositiveInt | None = None,
    log_period: PositiveInt = 100,
    keep: PositiveInt | None = 3,
    patience: PositiveInt | None = None,
    random_seed: Seed = 0,
    microbatches: PositiveInt = 1,
    mesh: Factory | None = None,
    engine: Callable[..., engines.Engine] | None = None,
    dtype_policy: str = "float32",
    max_skipped: PositiveInt = 10,
    max_rollbacks: NonNegativeInt = 0,
    replay_batch: str | None = None,
    initial_checkpoint_path: str | None = None,
    partial: Sequence[str] = (),
    allow_change: Sequence[str] = (),
) -> None:
    """Trains a model, or resumes the run in the folder bit for bit.

    Args:
        workdir: the run folder.
        objective: factory of the objective.
        optimizer: factory of the optimizer.
        train_data: factory of the endless training batches.
        train_steps: total number of batches to train on.
        evaluations: factories of evaluations; the first task decides which checkpoint is the best.
        samples: factory of a writer of text samples, called after each evaluation.
        loggers: factories of loggers besides metrics.jsonl.
        eval_period: steps between evaluations.
        save_period: steps between checkpoints; `eval_period` by default.
        log_period: steps between log lines; each shows the means since the last one.
        keep: number of newest checkpoints to keep besides the best one; None keeps all.
        patience: stop after this many evaluations in a row without a new best; None never stops.
        random_seed: seed of the initial weights and of dropout.
        microbatches: parts of a batch whose gradients are summed before the update.
        mesh: factory of the device mesh, a file of `gin/mesh`; None trains on one device.
        engine: factory of the engine; None takes that of the Keras backend.
        dtype_policy: Keras' policy: float32, bfloat16 or mixed_bfloat16.
        max_skipped: number of consecutive updates skipped, because loss or gradient was not
            finite, after which the run stops or rolls back.
        max_rollbacks: how often the run may roll back to its last good checkpoint and continue
            with the data after the bad batches, before it stops with exit code 1.
        replay_batch: file of a batch whose update was skipped; runs that step alone, without
            training.
        initial_checkpoint_path: run folder or checkpoint to take initial weights from; ignored
            once the run has a checkpoint of its own.
        partial: regular expressions of weights that may be missing or different in it.
        allow_change: names of settings or data fields that may differ from the run's.

    Raises:
        UserError: one line with the cause and what to change.
        SystemExit: 143, 130 or 129 after a signal, once the state is saved.
    """
    started, folder = time.time(), local(workdir)
    saved = None if replay_batch is None else skipped_batch.read(replay_batch)
    save_period = eval_period if save_period is None else save_period
    plan = Plan(log_period, eval_period, save_period, train_steps, max_skipped, max_rollbacks)
    settings = dict(random_seed=random_seed, microbatches=microbatches, dtype_policy=dtype_policy)
    group = ProcessGroup(mesh)
    with contextlib.ExitStack() as held:
        signals, store = hold(held, group, folder, keep)
        set_up_keras(settings)
        data = HashedBatches(train_data())
        made = build_engine(engine or engines.get(), group, objective, optimizer, data, settings)
        about = metadata.run_metadata(data.fingerprint(), settings)
        log(metadata.format_machine(about["machine"]))
        store.clean()
        parts: dict[str, Any] = dict(store=store, engine=made, data=data, metadata=about)
        found = state.resume(**parts, allow_change=allow_change, before=saved and saved.step)
        group.check_step(found and found.step)
        start = found or state.StartPoint()
        if found is None and initial_checkpoint_path is not None:
            state.start_from_weights(
                engine=made, path=initial_checkpoint_path, partial=partial, data=about["data"]
            )
        if saved is not None:
            skipped_batch.replay(saved, step=start.step, engine=made, data=data, signals=signals)
            return
        if group.is_first:
            metadata.write_config(folder)
            metadata.write_model_info(folder, made.program)
        reporter = group.reporter(
            Reporter,
            workdir=folder,
            start=start,
            steps=train_steps,
            batch_size=data.batch_size,
            started=started,
            loggers=[make() for make in loggers],
        )
        with contextlib.closing(reporter), group.lost_peers_named():
            loop = Loop(
                **parts,
                reporter=reporter,
                plan=plan,
                evaluations=[make() for make in evaluations],
                patience=Patience.resumed(patience, start.patience),
                samples=samples() if samples is not None and group.size == 1 else None,
            )
            loop.run(start.step, signals, is_evaluated=start.is_evaluated)
        if group.is_first:
            metadata.write_operative_config(folder)
        group.wait_for_end()


def hold(
    held: contextlib.ExitStack, group: ProcessGroup, folder: Path, keep: int | None
) -> tuple[StopSignals, Any]:
    """Locks the run folder and handles signals until the run ends; returns signals and store."""
    if group.is_first:
        held.enter_context(lock(folder))
    signals = group.signals()
    held.enter_context(signals)
    store = held.enter_context(contextlib.closing(group.store(Store(folder, keep=keep))))
    return signals, store


def build_engine(
    factory: Callable[..., engines.Engine],
    group: ProcessGroup,
    objective: Factory,
    optimizer: Factory,
    data: HashedBatches,
    settings: Mapping[str, Any],
) -> engines.Engine:
    """Returns the engine, its state laid out on the mesh, after checking vocabulary and labels."""
    with group.on_mesh(objective, data.features, settings["microbatches"]):
        set_up_keras(settings)
        with wall("train.train.objective"):
            made = objective()
        with wall("train.train.optimizer"):
            rule = optimizer()
        engine = factory(
            objective=made,
            optimizer=rule,
            features=data.features,
            microbatches=settings["microbatches"],
            **group.engine_options,
        )
    check_vocabulary(engine.program.objective, data.vocabulary_sizes)
    check_labels(engine.program.objective, data.label_names)
    return engine


def set_up_keras(settings: Mapping[str, Any]) -> None:
    """Sets Keras' global dtype policy and random seed.

    Raises:
        ConfigError: the policy needs loss scaling.
    """
    if settings["dtype_policy"] == "mixed_float16":
        raise ConfigError("train.train.dtype_policy: float16 overflows; take mixed_bfloat16")
    keras.config.set_dtype_policy(settings["dtype_policy"])
    keras.utils.set_random_seed(settings["random_seed"])


_DEFAULTS = {"random_seed": 0, "microbatches": 1, "dtype_policy": "float32"}


class Rehearsed(NamedTuple):
    """The result of a dry run.

    Attributes:
        description: name -> a line about the run.
        faults: errors, each with what to change.
    """

    description: dict[str, str]
    faults: list[Exception]


def rehearse(arguments: Mapping[str, Any], workdir: Path | None) -> Rehearsed:
    """Builds everything that a run needs and reads its first batch.

    Args:
        arguments: those of `lm.train.train`.
        workdir: run folder to check for a checkpoint, or None.
    """
    found = Rehearsed({}, [])
    settings = {name: arguments.get(name, default) for name, default in _DEFAULTS.items()}
    with _noting(found):
        set_up_keras(settings)
    data = _made(found, lambda: HashedBatches(arguments["train_data"]()))
    beside = (arguments.get("samples"), *arguments.get("loggers", ()))
    for make in (*arguments.get("evaluations", ()), *beside):
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
    elif not data:  # without data there are no shapes to build on, but bad settings still show
        _made(found, arguments["objective"])
        _made(found, arguments["optimizer"])
    return found


def _engine(arguments: Mapping[str, Any], data: HashedBatches, settings: Mapping[str, Any]) -> Any:
    """Returns the engine of a run."""
    factory = arguments.get("engine") or engines.get()
    group, objective = ProcessGroup(arguments.get("mesh")), arguments["objective"]
    return build_engine(factory, group, objective, arguments["optimizer"], data, settings)


def _describe(found: Rehearsed, data: HashedBatches, engine: Any) -> None:
    """Notes the sizes of the model, of the tokenizers and of a batch."""
    sizes = [int(np.prod(w.shape, dtype=np.int64)) for w in engine.program.learned]
    shapes = {name: tuple(x.shape) for name, x in data.features.items()}
    found.description["parameters"] = f"{sum(sizes):,}"
    found.description["tokenizers"] = _by_size(data.vocabulary_sizes)
    found.description["a batch"] = ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _by_size(vocabulary_sizes: Mapping[str, int]) -> str:
    """Returns the numbers of ids and the first features that have so many.

    >>> _by_size({"'inputs' in rte": 259, "'targets' in rte": 259, "'inputs' in cb": 4096})
    "259 ids: 'inputs' in rte, 'targets' in rte; 4,096 ids: 'inputs' in cb"
    """
    users: dict[int, list[str]] = {}
    for user, size in vocabulary_sizes.items():
        users.setdefault(size, []).append(user)
    return "; ".join(
        f"{size:,} ids: {', '.join(names[:_MAX_SHOWN])}"
        + (f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else "")
        for size, names in users.items()
    )


def _resume(
    found: Rehearsed,
    workdir: Path,
    engine: Any,
    data: HashedBatches,
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Notes the step from which the run would continue; a folder of another run is an error."""
    with contextlib.closing(Store(workdir)) as store:
        start = state.resume(
            store=store,
            engine=engine,
            data=data,
            metadata=metadata.run_metadata(data.fingerprint(), settings),
            allow_change=arguments["allow_change"],
        )
    start_point = f"from step {start.step} on" if start else "from the beginning"
    found.description["trains"] = f"{start_point}, to step {arguments['train_steps']:,}"


def _made(found: Rehearsed, make: Callable[[], Any]) -> Any:
    """Returns what a factory makes; notes the error and returns None if it fails."""
    made = None
    with _noting(found):
        made = make()
    return made


@contextlib.contextmanager
def _noting(found: Rehearsed) -> Iterator[None]:
    """Notes an error of the body, once, and continues after it."""
    try:
        yield
    except Exception as error:
        if str(error) not in map(str, found.faults):
            found.faults.append(error)
