"""`lm generate`: generate texts for prompts from the command line, a file or standard input."""

import argparse
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lm.cli import output, run_flags
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.inference.generate import Generated
    from lm.inference.run import Run

HELP = "generate texts for prompts with a trained model"
EXAMPLE = """examples:
  lm generate --workdir=/tmp/run --prompt="def main(" --gin.generate.temperature=0.8
  lm generate --workdir=/tmp/run --input=test.en --output=test.de --gin_file=decode/beam.gin
  lm generate --workdir=/tmp/run --prompt="def main(" --weights=int8
  echo "Two dogs play." | lm generate --workdir=/tmp/run --json
  lm generate --workdir=run_a --ensemble=run_b,run_c --input=test.en --gin_file=decode/beam.gin

An encoder-decoder answers a prompt, a language model continues it. An input file has one prompt per
line; the output has one text per line, with line breaks written as \\n. Settings are those of
generate.generate: max_new_tokens, beam_size, alpha, temperature, top_k, top_p, num_samples, seed,
batch_size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    run_flags.add_weights(parser)
    run_flags.add_ensemble(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", help="the prompt; may be empty")
    source.add_argument(
        "--input", metavar="FILE", help="file with one prompt per line (default: standard input)"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="file to write to (default: standard output)"
    )
    parser.add_argument(
        "--json", action="store_true", help="write a JSON object per prompt, with all candidates"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the texts."""
    prompts = _prompts(args)
    trained = run_flags.load(args)
    with output.opened(args.output) as out:
        if args.prompt is not None and not args.json:
            _write_one(trained, args.prompt, out)
        else:
            _write_lines(trained.generate(prompts), prompts, out, as_json=args.json)
    return 0


def _prompts(args: argparse.Namespace) -> list[str]:
    """Returns the prompts; called before the model is loaded."""
    if args.prompt is not None:
        return [args.prompt]
    try:
        text = (
            sys.stdin.read() if args.input in (None, "-") else Path(args.input).read_text("utf-8")
        )
    except UnicodeDecodeError as error:
        raise ConfigError(f"--input={args.input}: not UTF-8 at byte {error.start}") from error
    return text.removesuffix("\n").split("\n") if text else []


def _write_one(run: "Run", prompt: str, out: IO[str]) -> None:
    """Writes the best text for one prompt; on a terminal, while it is generated."""
    pieces = [] if run.trained.input_format.has_inputs else [prompt]

    def show(piece: str) -> None:
        # Print the prompt only with the first piece, once it is known to fit the model.
        out.write("".join(pieces) + piece)
        out.flush()
        pieces.clear()

    if out.isatty():
        candidates = run.generate([prompt], on_text=show).candidates[0]
    else:
        candidates = run.generate([prompt]).candidates[0]
        show(candidates[0].text if candidates else "")
    out.write("\n")


def _write_lines(
    generated: "Generated", prompts: list[str], out: IO[str], *, as_json: bool
) -> None:
    """Writes one line for each prompt."""
    for prompt, candidates in zip(prompts, generated.candidates, strict=True):
        if as_json:
            found = [
                {"text": c.text, "log_prob": c.log_prob, "score": c.score, "tokens": len(c.tokens)}
                for c in candidates
            ]
            record = {"prompt": prompt, "candidates": found, "decoding": generated.decoding}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
        else:
            text = candidates[0].text if candidates else ""
            out.write(text.replace("\n", "\\n") + "\n")
