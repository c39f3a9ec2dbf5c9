"""`lm verify-resume`: checks that an interrupted run equals an uninterrupted one, bit for bit."""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lm.cli import flags, output

HELP = "kill and resume a short run and compare it with an uninterrupted one"
EXAMPLE = """examples:
  lm verify-resume --gin_file=quickstart.gin
  lm verify-resume --gin_file=mine.gin --gin.BATCH_SIZE=4 --steps=30 --kills=5 --json

Trains twice for a few steps, once interrupted by SIGKILL at random moments and resumed, and
compares all tensors of all checkpoints, the metrics, the samples and the sequence of batches, bit
for bit. If anything differs, the first differences are printed and the exit code is 1. Each run
evaluates twice: for a large split give --gin.EVAL_STEPS=2."""
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    flags.add_gin(parser)
    flags.add_workdir(parser, required=False)
    parser.add_argument(
        "--steps", type=flags.above_zero(int), default=12, help="steps of both runs (default: 12)"
    )
    parser.add_argument(
        "--kills", type=int, default=3, help="how often the second run is killed (default: 3)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the moments of the kills (default: 0)"
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the trial and prints the result; returns 1 if anything differs."""
    from lm.reliability.trial import verify_resume

    with _folder(args.workdir) as workdir:
        trial = verify_resume(
            flags=flags.words(args),
            workdir=workdir,
            steps=args.steps,
            kills=args.kills,
            seed=args.seed,
            log=lambda line: print(f"lm: {line}", file=sys.stderr, flush=True),
        )
    found = trial.comparison
    if args.json:
        print(json.dumps({"kills": trial.kills, **found._asdict()}, indent=1))
        return 1 if found.differences else 0
    for line in found.differences[:SHOWN]:
        print(f"differs: {line}")
    print(
        f"{len(trial.kills)} kills (after steps {', '.join(map(str, trial.kills)) or '-'}): "
        f"{found.tensors} tensors, {found.numbers} metrics, {found.samples} samples compared, "
        f"{len(found.differences)} differ"
    )
    return 1 if found.differences else 0


@contextlib.contextmanager
def _folder(workdir: str | None) -> Iterator[Path]:
    """Gives the folder of the trial: the user's, or a temporary one."""
    if workdir is not None:
        yield Path(workdir)
        return
    with tempfile.TemporaryDirectory(prefix="verify-resume-") as name:
        yield Path(name)
