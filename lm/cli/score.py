"""`lm score`: the log-likelihood of given texts."""

import argparse
import json
from collections.abc import Mapping

from lm.cli import output, run_flags

HELP = "score given texts with a trained model"
EXAMPLE = """example:
  lm score --workdir=/tmp/run --input=texts.jsonl --json

Every line of the input is {"inputs": "…", "targets": "…"} or {"text": "…"}; the targets are
scored, given the inputs. Columns:
  text            the beginning of the targets
  log likelihood  the sum of ln p(token), in nats; nearer to 0 is more probable
  tokens          number of target tokens, the end token included
  greedy          yes if every token is the one that greedy search would have written
  bits per byte   -log2 p of the targets, divided by their bytes"""

_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's flags."""
    run_flags.add(parser)
    parser.add_argument(
        "--input", required=True, metavar="FILE", help="JSON lines with the texts to score"
    )
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
        [
            _beginning(e),
            f"{s.log_likelihood:.4f}",
            s.tokens,
            "yes" if s.is_greedy else "no",
            _number(s),
        ]
        for e, s in zip(examples, scores, strict=True)
    ]
    output.print_table(["text", "log likelihood", "tokens", "greedy", "bits per byte"], rows)
    return 0


def _beginning(example: Mapping[str, str]) -> str:
    """Return the beginning of what was scored, on one line."""
    text = " ".join(example.get("targets", example.get("text", "")).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _number(score: object) -> str:
    """Return the bits per byte, or a dash."""
    bits = getattr(score, "bits_per_byte", None)
    return "-" if bits is None else f"{bits:.4f}"
