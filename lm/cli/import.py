"""`lm import`: turns a Hugging Face folder into a run folder."""

import argparse

from lm.cli import flags

HELP = "import a Hugging Face folder as a run folder"
EXAMPLE = """examples:
  lm import --from=gpt2/ --workdir=runs/gpt2
  lm generate --workdir=runs/gpt2 --prompt='Call me'
  lm train --gin_file=runs/gpt2/config.gin --gin.TEXT_FILES='poems/*.txt' --gin.TRAIN_STEPS=500 \\
      --workdir=runs/poems

The folder has config.json, model.safetensors (or shards with their index) and the tokenizer of a
GPT-2, BERT, ELECTRA, T5 (1.0, 1.1, Flan), XLNet, Funnel or Switch model. Nothing in it is executed.
For another head, such as a classifier, include WORKDIR/model.gin and the family's
classifier.gin."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    parser.add_argument(
        "--from", required=True, dest="source", metavar="FOLDER", help="Hugging Face folder"
    )
    flags.add_workdir(parser)


def run(args: argparse.Namespace) -> int:
    """Imports, and prints what was made."""
    from lm.interop.import_folder import import_folder

    made = import_folder(args.source, args.workdir)
    print(f"{made.workdir}: {made.architecture}, {made.parameters:,} parameters")
    if made.left_out:
        print(f"left out: {', '.join(made.left_out)}")
    return 0
