"""`python -m tests.reliability`: runs the bars in long form, prints docs/reliability.md's table."""

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from lm import quiet
from tests.reliability.bar import Bar, Result, all_bars

HEAD = "| bar | what must hold | trials | result | seconds |\n|---|---|---|---|---|"


def main() -> int:
    """Runs the bars that the flags name; returns 1 if one of them did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--only", default="", help="numbers, such as 1,5; all by default")
    parser.add_argument("--short", action="store_true", help="as few trials as the test suite")
    parser.add_argument("--trials", type=int, help="this many trials of each bar")
    args = parser.parse_args()
    quiet.install()  # before a bar loads TensorFlow
    numbers = {int(number) for number in args.only.split(",") if number}
    bars = [bar for bar in all_bars() if not numbers or bar.number in numbers]
    broken = 0
    print(HEAD, flush=True)
    for bar in bars:
        begin = time.perf_counter()
        result = tried(bar, args.trials or (bar.short if args.short else bar.long))
        broken += bool(result.failures)
        print(row(bar, result, time.perf_counter() - begin), flush=True)
        for line in result.failures:
            print(f"bar {bar.number}, {bar.name}: {line}", file=sys.stderr, flush=True)
    return 1 if broken else 0


def tried(bar: Bar, trials: int) -> Result:
    """Runs one bar in a folder of its own; an exception is a failure."""
    with tempfile.TemporaryDirectory(prefix=f"bar-{bar.number}-") as folder:
        try:
            return bar.run(trials, Path(folder))
        except Exception as error:
            traceback.print_exc()
            return Result(0, [f"{type(error).__name__}: {error}"])


def row(bar: Bar, result: Result, seconds: float) -> str:
    """Returns a row of the table."""
    broken = len(result.failures)
    verdict = f"**{broken} broken**" if broken else "0 broken"
    note = f"; {result.note}" if result.note else ""
    cells = [f"{bar.number} {bar.name}", bar.what, str(result.count), f"{verdict}{note}"]
    return f"| {' | '.join([*cells, f'{seconds:.0f}'])} |"


if __name__ == "__main__":
    raise SystemExit(main())
