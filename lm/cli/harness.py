"""`lm harness`: evaluate a run with lm-evaluation-harness, as its model `seqlm`."""

import argparse
import importlib.util
import sys
from pathlib import Path

from lm.cli import run_flags
from lm.errors import ConfigError

HELP = "evaluate a run with lm-evaluation-harness"
EXAMPLE = """examples:
  lm harness --workdir=runs/base --tasks=lambada_openai,piqa
  lm harness --workdir=runs/base --tasks=mine --include_path=tasks --limit=100 --log_samples \\
      --output_path=results

The same from the harness's own command line; a file among its tasks registers the model:
  lm_eval run --model seqlm --model_args workdir=runs/base \\
      --tasks $(lm harness --model_file),lambada_openai

Needs `pip install 'seqlm[eval]'`."""

MODEL_FILE = Path(__file__).parents[1] / "inference" / "harness.yaml"

PASSED = {
    "tasks": "tasks of the harness, comma-separated",
    "num_fewshot": "number of solved examples in each prompt (default: the task's)",
    "limit": "number of questions of each task (default: all)",
    "include_path": "folder with tasks of your own",
    "output_path": "folder or file for the results",
    "batch_size": "number of texts in a batch",
    "gen_kwargs": "settings of generation, such as temperature=0.8,top_p=0.9",
    "use_cache": "file in which the model's answers are cached",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the run, and those that are passed on to the harness."""
    parser.add_argument(
        "--model_file",
        action="version",
        version=str(MODEL_FILE),
        help="print the file that gives lm_eval the model seqlm, and exit",
    )
    run_flags.add_checkpoint(parser)
    for name, about in PASSED.items():
        parser.add_argument(f"--{name}", metavar="X", required=name == "tasks", help=about)
    parser.add_argument(
        "--log_samples", action="store_true", help="write every question with its scores"
    )


def run(args: argparse.Namespace) -> int:
    """Registers the model and runs the harness."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("lm-evaluation-harness is not installed: pip install 'seqlm[eval]'")
    from lm_eval.__main__ import cli_evaluate

    from lm.inference import harness

    harness.register()
    sys.argv = ["lm_eval", "run", *words(args)]
    cli_evaluate()
    return 0


def words(args: argparse.Namespace) -> list[str]:
    """Returns the arguments of the harness's own command line."""
    model = f"workdir={args.workdir},checkpoint={args.checkpoint}"
    given = [
        word
        for name in PASSED
        if (value := getattr(args, name)) is not None
        for word in (f"--{name}", value)
    ]
    return [
        "--model",
        "seqlm",
        "--model_args",
        model,
        *given,
        *["--log_samples"] * args.log_samples,
    ]
