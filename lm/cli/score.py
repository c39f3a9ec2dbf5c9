"""`lm score`: the log-likelihood of given texts."""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lm.cli import output, run_flags

if TYPE_CHECKING:
    from lm.inference.score import Score

HELP = "score given texts with a trained model"
EXAMPLE = """examples:
  lm score --workdir=/tmp/run --input=texts.jsonl --json
  lm score --workdir=run_a --ensemble=run_b,run_c --input=nbest.jsonl --rerank=0.5

Every line of the input is {"inputs": "…", "targets": "…"} or {"text": "…"}; the targets are
scored, given the inputs. Columns:
  text            the beginning of the targets
  log likelihood  the sum of ln p(token), in nats; nearer to 0 is more probable
  tokens          number of target tokens, the end token included
  greedy          yes if greedy search would generate these tokens
  bits per byte   -log2 p of the targets, divided by their bytes

With --rerank, lines with the same inputs are hypotheses; the targets of the best one are printed,
by (1 - WEIGHT) times the line's own "score" plus WEIGHT times the log-likelihood."""

_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    run_flags.add_weights(parser)
    run_flags.add_ensemble(parser)
    parser.add_argument(
        "--input", required=True, metavar="FILE", help="JSON lines with the texts to score"
    )
    parser.add_argument(
        "--rerank",
        type=float,
        nargs="?",
        const=0.5,
        metavar="WEIGHT",
        help="print the best hypothesis of each input (default weight: 0.5)",
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints one score per line."""
    from lm.data.storage.readers import read_jsonl

    examples = list(read_jsonl(args.input))
    scores = run_flags.load(args).score(examples)
    if args.rerank is not None:
        _print_best(examples, scores, args)
        return 0
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
    """Returns the beginning of the scored text, on one line."""
    text = " ".join(example.get("targets", example.get("text", "")).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _print_best(
    examples: "list[dict[str, Any]]", scores: "list[Score]", args: argparse.Namespace
) -> None:
    """Prints the best hypothesis of each input, one per line."""
    from lm.inference.rerank import best

    for found in best(examples, scores, weight=args.rerank):
        text = found.example.get("targets", found.example.get("text", ""))
        record = {**found.example, **found.score._asdict(), "combined": found.combined}
        print(json.dumps(record, ensure_ascii=False) if args.json else text.replace("\n", "\\n"))


def _number(score: object) -> str:
    """Returns the bits per byte, or a dash."""
    bits = getattr(score, "bits_per_byte", None)
    return "-" if bits is None else f"{bits:.4f}"
