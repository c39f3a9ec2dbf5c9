"""`lm summary`: parameters by module, operations per token, memory; nothing is allocated."""

import argparse
import json

from lm.cli import flags

HELP = "count a model's parameters, FLOPs and memory without allocating it"
EXAMPLE = "example:\n  lm summary --gin_file=models/t5_1_1/xxl.gin --length=512"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    flags.add_gin(parser)
    parser.add_argument(
        "--length", type=int, default=512, help="tokens per sequence for FLOPs (default 512)"
    )
    parser.add_argument("--variables", action="store_true", help="list every variable's shape")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the summary of the macro MODEL."""
    model = flags.load(args, roots=["MODEL"]).value("MODEL")

    from lm.summary import summarise, table

    summary = summarise(model, length=args.length)
    facts = summary._asdict()
    shapes = facts.pop("shapes")
    if args.json:
        print(json.dumps({**facts, "shapes": shapes} if args.variables else facts))
        return 0
    if args.variables:
        print("\n".join(f"{path}  {shape}" for path, shape in shapes.items()), end="\n\n")
    print(table(summary))
    print(
        f"\n{summary.weights_bytes / 2**20:,.1f} MiB of weights; "
        f"{summary.flops_per_token / 1e6:,.1f} MFLOP per token forward at length {summary.length}"
    )
    return 0
