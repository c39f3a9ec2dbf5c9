"""A preview of a task as text of 100 columns that shows where packed examples begin and end."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.data.batching.preview import Example, Preview, piece, text, visible
from lm.data.vocabulary import title

WIDTH = 100
LABEL = 12  # columns of a name before its value
TABLE_LABEL = 27
LINES = 4  # of a long value
BEFORE_BORDER = 5  # columns of a table left of the border it shows
# ANSI colours, alternating by segment: green, cyan, yellow, magenta.
COLOURS = (32, 36, 33, 35)


def show(found: Preview) -> None:
    """Prints a preview."""
    print("\n".join(lines(found)))


def lines(found: Preview) -> Iterator[str]:
    """The lines of a preview: headings, raw examples, tokens, rows."""
    for name, count in found.counts.items():
        known = "examples uncounted" if count is None else f"{count:,} examples"
        yield f"{name} · {found.split} · {known}"
    for name, vocabulary in found.vocabularies.items():
        yield f"{name}: {title(vocabulary)}, {vocabulary.vocab_size:,} ids"
    for number, example in enumerate(found.raw, start=1):
        yield from ("", _bold(f"raw {number}"))
        for name, value in example.items():
            yield from _named(name, visible(str(value)).replace("␣", " "))
    for number, example in enumerate(found.tokens, start=1):
        yield from ("", _bold(f"tokens {number}"))
        yield from _tokens(example, found.vocabularies)
    for number, row in enumerate(found.rows, start=1):
        yield from ("", _bold(f"row {number}"))
        yield from _row(row, found.vocabularies)


def _tokens(example: Example, vocabularies: Mapping[str, Any]) -> Iterator[str]:
    """Ids and pieces of every tokenized feature."""
    for name, vocabulary in vocabularies.items():
        value = example.get(name, [])
        ids = value if isinstance(value, list) else [value]
        yield from _named(name, f"{len(ids):,} ids: {' '.join(map(str, ids[:WIDTH]))}", limit=1)
        yield from _named("", " ".join(piece(vocabulary, token) for token in ids[:WIDTH]), limit=1)


class _Side(NamedTuple):
    """The encoder's or the decoder's half of a row."""

    part: str
    features: Mapping[str, np.ndarray]
    vocabulary: Any
    tokens: np.ndarray
    segments: np.ndarray
    is_prefix: np.ndarray


def _row(row: Mapping[str, np.ndarray], vocabularies: Mapping[str, Any]) -> Iterator[str]:
    """The encoder's and the decoder's half of a row."""
    for part in ("encoder", "decoder"):
        own = {name: value for name, value in row.items() if name.startswith(part)}
        if own:
            side = _side(part, own, vocabularies)
            yield from _strip(side)
            yield from _table(side)
    for name, feature in (("labels", "labels"), ("weights", "label_weights")):
        if feature in row:
            yield from _named(name, " ".join(f"{number:g}" for number in row[feature].ravel()))


def _side(part: str, own: Mapping[str, np.ndarray], vocabularies: Mapping[str, Any]) -> _Side:
    """Finds a half's tokens, vocabulary and, in a prefix language model, the prefix."""
    kind = "target" if f"{part}_target_tokens" in own else "input"
    is_read = part == "encoder" and "inputs" in vocabularies
    segments = own[f"{part}_segment_ids"]
    is_prefix = np.zeros(len(segments), bool)
    if f"{part}_causal_attention" in own:
        is_prefix = (own[f"{part}_loss_weights"] == 0) & (segments > 0)
    vocabulary = vocabularies["inputs" if is_read else "targets"]
    return _Side(part, own, vocabulary, own[f"{part}_{kind}_tokens"], segments, is_prefix)


def _strip(side: _Side) -> Iterator[str]:
    """The text of each segment of a row, after its number."""
    length, number = len(side.segments), int(side.segments.max())
    filled = int(np.count_nonzero(side.segments))
    fill = "segment fills" if number == 1 else "segments fill"
    yield f"{side.part}: {number} {fill} {filled} of {length} positions ({filled / length:.0%})"
    for segment in range(1, number + 1):
        halves = [side.segments == segment] * 2 & np.stack([side.is_prefix, ~side.is_prefix])
        texts = [text(side.vocabulary, side.tokens[half]) for half in halves if half.any()]
        (line,) = textwrap.wrap(" → ".join(texts), WIDTH - 8, max_lines=1, placeholder=" …") or [""]
        yield _coloured(f"  [{segment}] {line}", segment)
    if filled < length:
        yield f"  [0] {length - filled} positions of padding"


def _table(side: _Side) -> Iterator[str]:
    """The features side by side, from a little before the first border between segments."""
    blocks = 2 * side.segments - side.is_prefix
    borders = np.flatnonzero(np.diff(blocks)) + 1
    start = max(0, int(borders[0]) - BEFORE_BORDER) if len(borders) else 0
    segments = side.segments[start:]
    columns: dict[str, Sequence[Any]] = {"position": range(start, len(blocks))}
    for name, value in side.features.items():
        if name.endswith("_tokens"):
            columns[name] = _pieces(value[start:], segments, side.vocabulary)
        label = f"{name} (id)" if name.endswith("_tokens") else name
        columns[label] = [f"{number:g}" for number in value[start:]]
    yield from _aligned(columns, segments, np.diff(blocks[start:], prepend=blocks[start]) != 0)


def _pieces(tokens: np.ndarray, segments: np.ndarray, vocabulary: Any) -> list[str]:
    """The piece of each token; the padding id at the start of a segment is the start token."""
    pieces = [piece(vocabulary, int(token)) for token in tokens]
    starts = (tokens == vocabulary.pad_id) & (segments > 0)
    return [
        "<start>" if is_start else shown for is_start, shown in zip(starts, pieces, strict=True)
    ]


def _aligned(
    columns: Mapping[str, Sequence[Any]], segments: np.ndarray, bars: np.ndarray
) -> Iterator[str]:
    """Named rows of cells, as many columns as fit the width, with a bar at every border."""
    cells = [[str(item) for item in row] for row in columns.values()]
    widths = [max(map(len, column)) + 1 for column in zip(*cells, strict=True)]
    fitting = np.searchsorted(np.cumsum(widths), WIDTH - TABLE_LABEL, side="right")
    for name, row in zip(columns, cells, strict=True):
        shown = zip(row[:fitting], widths, bars, segments, strict=False)
        yield f"  {name:<{TABLE_LABEL - 2}}" + "".join(
            ("│" if bar else " ") + _coloured(cell.rjust(width - 1), int(segment))
            for cell, width, bar, segment in shown
        )


def _named(name: str, content: str, limit: int = LINES) -> list[str]:
    """A name and its value, wrapped and cut to a few lines."""
    wrapped = textwrap.wrap(
        content[: 2 * limit * WIDTH],
        WIDTH - LABEL - 2,
        max_lines=limit,
        placeholder=" …",
        break_on_hyphens=False,
    )
    first, *others = wrapped or [""]
    return [f"  {name:<{LABEL}}{first}", *(" " * (LABEL + 2) + line for line in others)]


def _bold(line: str) -> str:
    return f"\033[1m{line}\033[0m" if _has_colours() else line


def _coloured(line: str, segment: int) -> str:
    """The line in the colour of its segment, on a terminal; padding stays plain."""
    if not segment or not _has_colours():
        return line
    return f"\033[{COLOURS[segment % len(COLOURS)]}m{line}\033[0m"


def _has_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
