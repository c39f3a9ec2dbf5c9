"""`lm export`: a run folder as a Hugging Face folder, or as ONNX graphs."""

import argparse

from lm.cli import flags, run_flags
from lm.errors import ConfigError, UserError

HELP = "write a run's model as a Hugging Face folder, or as ONNX graphs"
EXAMPLE = """examples:
  lm export --workdir=runs/poems --to=poems/
  lm export --workdir=runs/poems --to=poems_onnx/ --format=onnx --max_prompt_length=64
  lm export --workdir=runs/poems --to=poems_int8/ --format=onnx --dtype=int8

A Hugging Face folder has config.json, model.safetensors, tokenizer.json and a model card;
transformers can load it. With --format=onnx the folder has score.onnx, start.onnx and step.onnx for
ONNX Runtime, for fixed shapes, and onnx.json, which describes them. The export is loaded and
compared with the run on a fixed input; if the outputs differ, nothing is written."""

HUGGING_FACE = ("float32", "bfloat16", "float16")
ONNX = ("float32", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add_checkpoint(parser)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument(
        "--format",
        choices=("huggingface", "onnx"),
        default="huggingface",
        help="what to write (default: huggingface); onnx needs the extra of that name",
    )
    parser.add_argument(
        "--dtype",
        choices=(*HUGGING_FACE, "int8"),
        default="float32",
        help="of the tensors (default: float32); int8 with --format=onnx alone",
    )
    count = flags.above_zero(int)
    for name, default, what in (
        ("batch_size", 1, "rows of a batch"),
        ("max_prompt_length", 64, "tokens of a prompt, the start token included"),
        ("max_new_tokens", 128, "tokens of a text that step.onnx writes"),
    ):
        text = f"onnx: {what} (default: {default})"
        parser.add_argument(f"--{name}", type=count, default=default, metavar="N", help=text)


def run(args: argparse.Namespace) -> int:
    """Exports, and prints what was written."""
    export, dtypes = {
        "huggingface": (_export_folder, HUGGING_FACE),
        "onnx": (_export_onnx, ONNX),
    }[args.format]
    if args.dtype not in dtypes:
        raise ConfigError(f"--dtype={args.dtype}: --format={args.format} has {', '.join(dtypes)}")
    export(args)
    return 0


def _export_folder(args: argparse.Namespace) -> None:
    """Writes a Hugging Face folder."""
    from lm.interop.export_folder import export_folder

    made = export_folder(args.workdir, args.to, checkpoint=args.checkpoint, dtype=args.dtype)
    print(
        f"{made.folder}: {made.architecture}; read back, its outputs differ by "
        f"{made.difference:.1e} at most"
    )


def _export_onnx(args: argparse.Namespace) -> None:
    """Writes ONNX graphs."""
    try:
        from lm.inference.export_onnx import Shapes, export_onnx
    except ModuleNotFoundError as error:
        raise UserError(f"--format=onnx needs {error.name}: pip install 'seqlm[onnx]'") from error
    shapes = Shapes(args.batch_size, args.max_prompt_length, args.max_new_tokens)
    made = export_onnx(args.workdir, args.to, shapes, checkpoint=args.checkpoint, dtype=args.dtype)
    names = ", ".join(f"{name}.onnx" for name in made.graphs)
    print(
        f"{made.folder}: {names}; in ONNX Runtime their float32 outputs differ by "
        f"{made.difference:.1e} at most"
    )
    if made.perplexities:
        before, after = made.perplexities
        print(f"perplexity of validation rows: {before:.4g} in float32, {after:.4g} in int8")
    elif args.dtype == "int8":
        print("no validation data found: the effect of int8 on the perplexity is unknown")
