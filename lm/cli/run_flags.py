"""The flags of verbs that use a trained run, and the run that they name."""

import argparse
from typing import TYPE_CHECKING

from lm.cli import flags

if TYPE_CHECKING:
    from lm.inference.run import Run


def add(parser: argparse.ArgumentParser) -> None:
    """Add run folder, checkpoint and the flags that change the run's configuration."""
    flags.add_workdir(parser)
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="WHICH",
        help="which checkpoint: latest, best or a step (default: latest)",
    )
    flags.add_gin(parser)


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    """Add the flag of runs whose probabilities are averaged with those of the run."""
    parser.add_argument(
        "--ensemble",
        default="",
        metavar="DIR,DIR",
        help="other runs or checkpoints: the probabilities of all models are averaged",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the flag of what is multiplied by."""
    parser.add_argument(
        "--weights",
        choices=("float32", "bfloat16", "int8"),
        default="float32",
        help="multiply by copies of the kernels in this width, which take 2 or 1 bytes a weight "
        "beside the model; float32 are the model's own (default: float32)",
    )


def load(args: argparse.Namespace) -> "Run":
    """Load the run; gin files and bindings of the command line come after its own."""
    from lm.inference.run import load as load_run

    return load_run(
        args.workdir,
        args.checkpoint,
        gin_files=args.gin_file,
        bindings=args.gin_bindings,
        search_paths=flags.split(args.gin_search_paths),
        modules=flags.split(",".join(args.gin_modules)),
        ensemble=flags.split(getattr(args, "ensemble", "")),
        weights=getattr(args, "weights", "float32"),
    )
