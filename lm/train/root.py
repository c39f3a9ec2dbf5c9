"""The entry function of training, `train.train` in gin."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from lm import engines
from lm.checkpoint import Store
from lm.checkpoint.store import local
from lm.errors import ConfigError
from lm.lock import lock
from lm.parts import entry
from lm.ranges import NonNegativeInt, PositiveInt, Seed
from lm.train import checks, facts, records, refused, start
from lm.train.consumed import Consumed
from lm.train.evaluation import Evaluation
from lm.train.loop import Loop, Plan
from lm.train.progress import tell
from lm.train.reports import Reports
from lm.train.team import Team
from lm.wall import wall

Factory = Callable[[], Any]


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
    eval_period: PositiveInt = 1000,
    save_period: PositiveInt | None = None,
    log_period: PositiveInt = 100,
    keep: PositiveInt | None = 3,
    random_seed: Seed = 0,
    microbatches: PositiveInt = 1,
    mesh: Factory | None = None,
    dtype_policy: str = "float32",
    max_skipped: PositiveInt = 10,
    max_rollbacks: NonNegativeInt = 0,
    replay_batch: str | None = None,
    initial_checkpoint_path: str | None = None,
    partial: Sequence[str] = (),
    allow_change: Sequence[str] = (),
) -> None:
    """Train, or go on where the run in the folder stopped, bit for bit.

    Args:
        workdir: the run folder.
        objective: factory of the objective.
        optimizer: factory of the optimizer.
        train_data: factory of the endless batches.
        train_steps: batches to consume in all.
        evaluations: factories of what is evaluated; the first task decides the best checkpoint.
        samples: factory of a writer of samples, called after evaluations.
        eval_period: steps between evaluations.
        save_period: steps between checkpoints; `eval_period` by default.
        log_period: steps between log lines, which show the means since the last one.
        keep: newest checkpoints to keep, besides the best; None keeps all.
        random_seed: decides the initial weights and dropout.
        microbatches: parts of a batch whose gradients are summed before the update.
        mesh: factory of the devices to train on, a file of `gin/mesh`; None is one device.
        dtype_policy: Keras' policy: float32, bfloat16 or mixed_bfloat16.
        max_skipped: updates skipped in a row, for a loss or gradient that is not finite, that end
            the run or, where it may, take it back.
        max_rollbacks: times that the run goes back to its last good checkpoint and on with the data
            after the bad ones, instead of ending with exit code 1.
        replay_batch: file of a batch whose update was refused; it is run alone, nothing is trained.
        initial_checkpoint_path: run folder or checkpoint whose weights to start from; without
            effect once the run has a checkpoint of its own.
        partial: regular expressions of weights that may be missing or different there.
        allow_change: names of settings or data facts that may differ from those the run began with.

    Raises:
        UserError: in one line, what is wrong and what to change.
        SystemExit: 143, 130 or 129 after a signal, the state saved.
    """
    started = time.time()
    kept = None if replay_batch is None else refused.read(replay_batch)
    folder = local(workdir)
    save_period = eval_period if save_period is None else save_period
    plan = Plan(log_period, eval_period, save_period, train_steps, max_skipped, max_rollbacks)
    settings = dict(random_seed=random_seed, microbatches=microbatches, dtype_policy=dtype_policy)
    team = Team(mesh)
    with contextlib.ExitStack() as held:
        if team.is_first:
            held.enter_context(lock(folder))
        signals = held.enter_context(team.signals())
        store = held.enter_context(contextlib.closing(team.store(Store(folder, keep=keep))))
        _prepare(settings)
        data = Consumed(train_data())
        engine = _engine(team, objective, optimizer, data, settings)
        about = facts.about(data.fingerprint(), settings)
        tell(facts.told(about["machine"]))
        store.clean()
        found = start.resume(
            store=store,
            engine=engine,
            data=data,
            about=about,
            allow_change=allow_change,
            before=kept and kept.step,
        )
        team.meet(found and found.step)
        begin = found or start.Position()
        if found is None and initial_checkpoint_path is not None:
            start.warm(engine=engine, path=initial_checkpoint_path, partial=partial)
        if kept is not None:
            refused.replay(kept=kept, step=begin.step, engine=engine, data=data, signals=signals)
            return
        if team.is_first:
            records.write_config(folder)
            records.write_model(folder, engine.program)
        reports = team.reports(
            Reports,
            workdir=folder,
            begin=begin,
            steps=train_steps,
            rows=_rows(data),
            started=started,
        )
        with contextlib.closing(reports), team.together():
            loop = Loop(
                engine=engine,
                data=data,
                store=store,
                reports=reports,
                plan=plan,
                evaluations=[make() for make in evaluations],
                samples=samples() if samples is not None and team.size == 1 else None,
                facts=about,
            )
            loop.run(begin.step, signals, is_evaluated=begin.is_evaluated)
        if team.is_first:
            records.write_operative(folder)
        team.part()


def _engine(
    team: Team,
    objective: Factory,
    optimizer: Factory,
    data: Consumed,
    settings: Mapping[str, Any],
) -> Any:
    """Return the engine, its state laid out over the team's devices and compared with the data."""
    with team.over(objective, data.features, settings["microbatches"]):
        _prepare(settings)
        with wall("train.train.objective"):
            made = objective()
        with wall("train.train.optimizer"):
            rule = optimizer()
        engine = engines.get()(
            objective=made,
            optimizer=rule,
            features=data.features,
            microbatches=settings["microbatches"],
            **team.options,
        )
    checks.sizes(engine.program.objective, data.vocabulary_sizes)
    return engine


def _prepare(settings: Mapping[str, Any]) -> None:
    """Set what Keras keeps for the process: the precision and the source of seeds.

    Raises:
        ConfigError: the policy needs loss scaling.
    """
    if settings["dtype_policy"] == "mixed_float16":
        raise ConfigError("train.train.dtype_policy: float16 overflows; take mixed_bfloat16")
    keras.config.set_dtype_policy(settings["dtype_policy"])
    keras.utils.set_random_seed(settings["random_seed"])


def _rows(data: Any) -> int:
    """Return the rows of a batch."""
    return int(next(iter(data.features.values())).shape[0])
