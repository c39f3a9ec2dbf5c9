"""Trains the toy with everything that has a state; run by the tests in processes of its own."""

import argparse
import functools
import os
import signal
import time

from lm.optim import adamw
from lm.train import train
from lm.train.evaluation import TaskMetrics, metrics, total
from lm.train.reporter import rows
from tests.toy import Stream, Toy, batch


def evaluation():
    """Evaluates on three fixed batches."""

    def run(engine):
        yield TaskMetrics(
            "toy", "validation", metrics(total(engine, [batch(s) for s in (7, 8, 9)]))
        )

    return run


class Interrupted(Stream):
    """Sends this process a signal at a position, and runs at a pace that a test can follow."""

    def __init__(self, *, at, number, pause):
        super().__init__()
        self.at, self.number, self.pause = at, number, pause

    def __next__(self):
        if self.position + 1 == self.at:
            os.kill(os.getpid(), self.number)
        time.sleep(self.pause)
        return super().__next__()


def untimed_rows(folder):
    """Returns the rows of metrics.jsonl without the times."""
    return [
        {name: value for name, value in row.items() if not name.startswith("timing/")}
        for row in rows(folder / "metrics.jsonl")
    ]


def run(workdir, *, stream=Stream, **settings):
    """Trains to step 20 unless the settings say otherwise."""
    train(
        workdir=str(workdir),
        train_data=stream,
        **{
            "objective": functools.partial(Toy, dropout=0.3),
            "optimizer": functools.partial(adamw, learning_rate=0.01, average=0.9),
            "train_steps": 20,
            "evaluations": [evaluation],
            "eval_period": 8,
            "save_period": 4,
            "log_period": 5,
            "keep": None,
            "microbatches": 2,
            **settings,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--signal", default="SIGTERM")
    parser.add_argument("--pause", type=float, default=0.0)
    args = parser.parse_args()
    number = getattr(signal, args.signal)
    run(
        args.workdir,
        stream=functools.partial(Interrupted, at=args.at, number=number, pause=args.pause),
    )
