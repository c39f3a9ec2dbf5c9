"""`lm chat`: a conversation with a run, in the terminal."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lm.cli import output, run_flags

if TYPE_CHECKING:
    from lm.inference.run import Run

HELP = "chat with a trained model"
EXAMPLE = """examples:
  lm chat --workdir=runs/talks
  lm chat --workdir=runs/talks --input=contexts.jsonl --sheet=sheet.tsv
  lm chat --workdir=runs/chats --gin.chat.reply.write=@dialog.by_name --gin.chat.reply.num_samples=1

Each line is a turn, and the model answers with one. /new starts a new conversation; Ctrl-D ends the
chat. The answer is the most probable of 20 samples that does not repeat an earlier turn. Settings
are those of chat.reply: max_turns, write, num_samples, temperature, top_k, max_new_tokens,
shared_words, seed.

With --input, a file of JSON lines with `turns`, the last turn of each conversation is answered.
--sheet writes a table for raters to fill in, which `lm results ssa` reads."""

NEW = "/new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    parser.add_argument("--input", metavar="FILE", help="conversations to answer, JSON lines")
    parser.add_argument(
        "--sheet", metavar="FILE", help="where to write the raters' table (default: stdout)"
    )


def run(args: argparse.Namespace) -> int:
    """Answers every turn."""
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
    """Answers the conversations of a file and writes the raters' sheet."""
    from lm.data.evaluation import ssa
    from lm.data.storage import readers
    from lm.data.user_tasks.dialog import TurnsCheck

    talks = [row["turns"] for row in readers.read_jsonl(args.input, check=TurnsCheck(fewest=1))]
    with output.opened(args.sheet) as out:
        out.writelines(ssa.sheet((turns, loaded.reply(turns).text) for turns in talks))
    return 0


def _lines() -> Iterator[str]:
    """Yields the non-empty lines of standard input; prompts for them on a terminal."""
    mark = "> " if sys.stdin.isatty() else ""
    while True:
        print(mark, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print("\n" if mark else "", end="")
            return
        if line.strip():
            yield line.strip()
