"""`lm export`: a run folder as a Hugging Face folder."""

import argparse

from lm.cli import flags

HELP = "write a run's model as a Hugging Face folder"
EXAMPLE = """example:
  lm export --workdir=runs/poems --to=poems/

The folder has config.json, model.safetensors, tokenizer.json and a model card, and transformers
loads it. It is read back before it gets its name: outputs that differ from the run's on a fixed
probe are an error, and nothing is written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's flags."""
    flags.add_workdir(parser)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="WHICH",
        help="latest, best or a step (default: latest)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="of the tensors (default: float32)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    from lm.interop.export_folder import export_folder

    made = export_folder(args.workdir, args.to, checkpoint=args.checkpoint, dtype=args.dtype)
    print(
        f"{made.folder}: {made.architecture}; read back, its outputs differ by "
        f"{made.difference:.1e} at most"
    )
    return 0
