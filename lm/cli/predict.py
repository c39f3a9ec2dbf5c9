"""`lm predict`: labels with probabilities for the texts of a file."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.cli import output, run_flags
from lm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from lm.inference.predict import Prediction

HELP = "label texts with a trained classifier"
EXAMPLE = """examples:
  lm predict --workdir=/tmp/run --input=reviews.txt
  lm predict --workdir=/tmp/run --input=pairs.tsv --output=labels.tsv
  lm predict --workdir=/tmp/run --input=pairs.jsonl --json
  lm predict --workdir=/tmp/run --ensemble=/tmp/run2,/tmp/run3 --input=reviews.txt

Input: a .tsv file whose header has the columns that the task reads, a .jsonl file with these
fields, or any other file with one text per line. The output has one line for each: the predicted
label and the probabilities of all labels, in the order of the header. Texts that are too long are
truncated (text_pairs.join.cut and .keep), and their number is reported."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    run_flags.add_ensemble(parser)
    parser.add_argument(
        "--input",
        required=True,
        metavar="FILE",
        help=".tsv with a header, .jsonl, or a file with one text per line",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="file to write to (default: standard output)"
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Writes a label for each line."""
    loaded = run_flags.load(args)
    from lm.inference.predict import columns

    texts = _texts(args.input, columns(loaded.trained))
    found = loaded.predict(texts)
    lines = _records(texts, found) if args.json else _table(found)
    with output.opened(args.output) as out:
        out.writelines(f"{line}\n" for line in lines)
    _report_cuts(args.input, found, loaded.trained.lengths["inputs"])
    return 0


def _texts(path: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the rows of a file.

    Raises:
        UserError: naming file and line of a row without text.
    """
    rows = list(_rows(path, columns))
    for number, row in enumerate(rows):
        if empty := [column for column in columns if not row[column].strip()]:
            raise UserError(f"{_line(path, number)}: empty text (column {empty[0]!r})")
    return rows


def _rows(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Returns the rows of a table, of JSON lines or of plain text."""
    from lm.data.storage import readers

    if _is_table(path) or readers.is_jsonl(path):
        return readers.read_rows(path, columns=columns)
    if len(columns) > 1:
        needed = " and ".join(columns)
        raise ConfigError(f"--input={path}: the task reads {needed}; give a .tsv or .jsonl of them")
    return ({columns[0]: line} for line in readers.read_text_lines(path))


def _line(path: str, number: int) -> str:
    """Returns file and line of a row, counted from 0."""
    return f"{path}:{number + 1 + _is_table(path)}"


def _is_table(path: str) -> bool:
    """Returns whether a file is named as a table, whose first line is a header."""
    return ".tsv" in Path(path).suffixes


def _records(texts: Sequence[Mapping[str, str]], found: Sequence["Prediction"]) -> Iterator[str]:
    """Yields a JSON object for each row."""
    for row, prediction in zip(texts, found, strict=True):
        yield json.dumps({**row, **prediction._asdict()}, ensure_ascii=False)


def _table(found: Sequence["Prediction"]) -> Iterator[str]:
    """Yields a header and a line for each row, separated by tabs."""
    if found:
        yield "\t".join(["answer", *found[0].probabilities])
    for prediction in found:
        cells = [_cell(prediction.answer), *(f"{p:.4f}" for p in prediction.probabilities.values())]
        yield "\t".join(cells)


def _cell(answer: Any) -> str:
    """Returns an answer in one cell."""
    if isinstance(answer, float):
        return f"{answer:.4f}"
    return " ".join(map(str, answer)) if isinstance(answer, list) else str(answer)


def _report_cuts(path: str, found: Sequence["Prediction"], length: int) -> None:
    """Reports on standard error how many texts were truncated."""
    cut = [number for number, prediction in enumerate(found) if prediction.is_cut]
    if cut:
        rows = f"{len(cut)} of {len(found)} rows are longer than {length} tokens and truncated"
        print(f"{rows}; the first is {_line(path, cut[0])}", file=sys.stderr)
