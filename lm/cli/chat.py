"""`lm chat`: a conversation with a run, in the terminal."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lm.cli import output, run_flags

if TYPE_CHECKING:
    from lm.inference.run import Run

HELP = "talk with a trained model"
EXAMPLE = """examples:
  lm chat --workdir=runs/talks
  lm chat --workdir=runs/talks --input=contexts.jsonl --sheet=sheet.tsv
  lm chat --workdir=runs/chats --gin.chat.reply.write=@dialog.by_name --gin.chat.reply.num_samples=1

A line is a turn; the model answers with one. /new begins another conversation, the end of the
input (Ctrl-D) ends it. Of 20 samples the most probable is taken that repeats no earlier turn.
Settings are those of chat.reply: max_turns, write, num_samples, temperature, top_k,
max_new_tokens, shared_words, seed.

With --input, JSON lines of `turns`, the last turn of each is answered; --sheet is the table that
raters fill in, for `lm results ssa`."""

NEW = "/new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's flags."""
    run_flags.add(parser)
    parser.add_argument("--input", metavar="FILE", help="conversations to answer, JSON lines")
    parser.add_argument(
        "--sheet", metavar="FILE", help="table for raters to write (default: stdout)"
    )


def run(args: argparse.Namespace) -> int:
    """Answer every line."""
    loaded = run_flags.load(args)
    if args.input:
        return _answer(loaded, args)
    turns: list[str] = []
    for line in _lines():
        if line == NEW:
            turns = []
            continue
        turns.append(line)
        answer = loaded.reply(turns).text
        print(answer, flush=True)
        turns.append(answer)
    return 0


def _answer(loaded: "Run", args: argparse.Namespace) -> int:
    """Write the sheet of the conversations of a file."""
    from lm.data.evaluation import ssa
    from lm.data.storage import readers

    talks = [row["turns"] for row in readers.read_jsonl(args.input)]
    with output.opened(args.sheet) as out:
        out.writelines(ssa.sheet((turns, loaded.reply(turns).text) for turns in talks))
    return 0


def _lines() -> Iterator[str]:
    """Yield the lines that are not empty; to a terminal, after a mark."""
    mark = "> " if sys.stdin.isatty() else ""
    while True:
        print(mark, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print("\n" if mark else "", end="")
            return
        if line.strip():
            yield line.strip()
