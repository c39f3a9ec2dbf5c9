"""The flags shared by verbs that use a trained run, and how they load it."""

import argparse
from typing import TYPE_CHECKING

from lm.cli import flags

if TYPE_CHECKING:
    from lm.inference.run import Run


def add(parser: argparse.ArgumentParser) -> None:
    """Adds run folder, checkpoint and the flags that change the run's configuration."""
    add_checkpoint(parser)
    flags.add_gin(parser)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Adds run folder and checkpoint."""
    flags.add_workdir(parser)
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="WHICH",
        help="which checkpoint: latest, best or a step (default: latest)",
    )


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that names the other runs of an ensemble."""
    parser.add_argument(
        "--ensemble",
        default="",
        metavar="DIR,DIR",
        help="other runs or checkpoints: the probabilities of all models are averaged",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that chooses narrow copies of the weights."""
    parser.add_argument(
        "--weights",
        choices=("float32", "bfloat16", "int8"),
        default="float32",
        help="compute with rounded copies of the weights, which take 2 or 1 more bytes per weight; "
        "float32 uses the model's own (default: float32)",
    )


def load(args: argparse.Namespace) -> "Run":
    """Loads the run; gin files and bindings of the command line come after its own."""
    from lm.inference.run import load as load_run

    return load_run(
        args.workdir,
        args.checkpoint,
        gin_files=args.gin_file,
        bindings=args.gin_bindings,
        search_paths=flags.search_paths(args),
        modules=flags.modules(args),
        ensemble=flags.split(getattr(args, "ensemble", "")),
        weights=getattr(args, "weights", "float32"),
    )
