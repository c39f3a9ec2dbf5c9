"""`lm train`: train a model or resume a run."""

import argparse
from pathlib import Path

from lm import lock
from lm.cli import flags
from lm.cli.check import check_run, refuse
from lm.errors import ConfigError

ENTRY = "lm.train.train"
HANDED = ("workdir", "partial", "allow_change", "replay_batch")
HELP = "train a model; the same command resumes"
EXAMPLE = """examples:
  lm train --gin_file=quickstart.gin --workdir=runs/quickstart
  lm train --gin_file=quickstart.gin --workdir=runs/quickstart --check
  lm train --gin_file=runs/pretrain.gin --gin_file=models/gpt2/small.gin \\
      --gin_file=objectives/token_prediction.gin --gin_file=features/language_model.gin \\
      --gin_file=data/python_docs.gin --gin_file=optim/adamw.gin \\
      --gin.TRAIN_STEPS=1000 --workdir=runs/mine

SIGTERM, Ctrl-C and a closed terminal (SIGHUP, unless under nohup) save the state and exit with code
143, 130 or 129; the same command resumes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    flags.add_gin(parser)
    flags.add_workdir(parser, required=False)
    parser.add_argument(
        "--check",
        action="store_true",
        help="list all errors before the first step and exit; writes nothing",
    )
    parser.add_argument(
        "--partial",
        action="append",
        metavar="REGEX",
        help="with INITIAL_CHECKPOINT_PATH: regular expression of weights that may be missing in "
        "that checkpoint, such as a new head, and are then initialized randomly; repeatable",
    )
    parser.add_argument(
        "--allow-change",
        action="append",
        metavar="NAME",
        help="resume although this setting differs from the run's: its name as in the error, the "
        "last part of it, or a pattern such as '*'; repeatable",
    )
    parser.add_argument(
        "--replay_batch",
        metavar="FILE",
        help="only repeat the step of a batch whose update was skipped, and print its terms; the "
        "file is WORKDIR/refused/<step>.safetensors",
    )


def run(args: argparse.Namespace) -> int:
    """Trains with the entry function `lm.train.train`."""
    if args.check:
        return check_run(args, root=ENTRY, handed=HANDED)
    if args.workdir:
        lock.check(Path(args.workdir))
    refuse(flags.faults(args, roots=[ENTRY], handed=HANDED))
    macros = {binding.scope for binding in flags.scan(args).bindings if binding.is_macro}
    if args.workdir is None and "MODEL_DIR" not in macros:
        raise ConfigError("no run folder: give --workdir=DIR")
    config = flags.load(args, roots=[ENTRY])
    workdir = args.workdir or config.value("MODEL_DIR")
    given = {
        "partial": args.partial,
        "allow_change": args.allow_change,
        "replay_batch": args.replay_batch,
    }
    config.configured(ENTRY)(
        workdir=workdir, **{name: value for name, value in given.items() if value is not None}
    )
    return 0
