"""`lm score`: the log-likelihood of given texts."""

import argparse
import json

from lm.cli import output, run_flags

HELP = "score given texts with a trained model"
EXAMPLE = """example:
  lm score --workdir=/tmp/run --input=texts.jsonl --json

Every line of the input is {"inputs": "…", "targets": "…"} or {"text": "…"}; the targets are
scored. The log-likelihood is in nats; bits per byte are those of the target text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's flags."""
    run_flags.add(parser)
    parser.add_argument("--input", required=True, metavar="FILE", help="JSON lines")
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print one score a line."""
    from lm.data.storage.readers import read_jsonl

    examples = list(read_jsonl(args.input))
    scores = run_flags.load(args).score(examples)
    if args.json:
        for example, score in zip(examples, scores, strict=True):
            print(json.dumps({**example, **score._asdict()}, ensure_ascii=False))
        return 0
    rows = [
        [f"{s.log_likelihood:.4f}", s.tokens, "yes" if s.is_greedy else "no", _number(s)]
        for s in scores
    ]
    output.print_table(["log likelihood", "tokens", "greedy", "bits per byte"], rows)
    return 0


def _number(score: object) -> str:
    """Return the bits per byte, or a dash."""
    bits = getattr(score, "bits_per_byte", None)
    return "-" if bits is None else f"{bits:.4f}"
