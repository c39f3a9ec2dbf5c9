"""Statistics of a tokenizer on a text: fertility, unknowns, fraction of the vocabulary used."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping

import seqio

from lm.data.tokenizer_json import TokenizerVocabulary
from lm.errors import UserError

LONGEST = 10


@dataclasses.dataclass(frozen=True)
class TokenizerReport:
    """Counts and rates of one vocabulary over some texts.

    Attributes:
        vocabulary_size: ids, sentinels included.
        texts: number of texts.
        words: runs of characters between white space.
        bytes: length in UTF-8.
        tokens: ids, without the end of sequence.
        tokens_per_word: fertility.
        tokens_per_byte: its reciprocal is the compression in bytes per token.
        unknown_rate: fraction of tokens that are the unknown id.
        byte_fallback_rate: fraction of tokens that spell one byte.
        used_ids: number of different ids.
        vocabulary_use: their fraction of all ids except sentinels and special ids.
        changed_texts: texts that encoding and decoding do not reproduce.
        longest_text: tokens of the longest text.
        longest_pieces: the longest pieces that occur, with their counts.
    """

    vocabulary_size: int
    texts: int
    words: int
    bytes: int
    tokens: int
    tokens_per_word: float
    tokens_per_byte: float
    unknown_rate: float
    byte_fallback_rate: float
    used_ids: int
    vocabulary_use: float
    changed_texts: int
    longest_text: int
    longest_pieces: dict[str, int]


@functools.singledispatch
def piece_text(vocabulary: seqio.Vocabulary, token: int) -> str:
    """The text of an id, with U+2581 for the spaces of SentencePiece pieces."""
    return vocabulary.decode([token])


@piece_text.register
def _(vocabulary: seqio.SentencePieceVocabulary, token: int) -> str:
    return vocabulary.tokenizer.IdToPiece(int(token))


@piece_text.register
def _(vocabulary: TokenizerVocabulary, token: int) -> str:
    return vocabulary.piece(int(token))


@functools.singledispatch
def is_byte(vocabulary: seqio.Vocabulary, token: int) -> bool:
    """Whether an id spells a single byte rather than a piece of text."""
    return isinstance(vocabulary, seqio.ByteVocabulary)


@is_byte.register
def _(vocabulary: seqio.SentencePieceVocabulary, token: int) -> bool:
    return vocabulary.tokenizer.IsByte(int(token))


def measure(vocabulary: seqio.Vocabulary, texts: Iterable[str]) -> TokenizerReport:
    """Tokenizes the texts and counts.

    Raises:
        UserError: there is no text.

    Example:
        >>> report = measure(seqio.ByteVocabulary(), ["ab cd"])
        >>> report.tokens, report.tokens_per_word, report.tokens_per_byte
        (5, 2.5, 1.0)
    """
    texts = [text for text in texts if text]
    if not texts:
        raise UserError("there is no text to report on; check the input or the split")
    encoded = [vocabulary.encode(text) for text in texts]
    ids = collections.Counter(token for tokens in encoded for token in tokens)
    tokens, size = ids.total(), vocabulary.vocab_size
    words = sum(len(text.split()) for text in texts)
    length = sum(len(text.encode()) for text in texts)
    pairs = zip(texts, encoded, strict=True)
    return TokenizerReport(
        vocabulary_size=size,
        texts=len(texts),
        words=words,
        bytes=length,
        tokens=tokens,
        tokens_per_word=tokens / max(words, 1),
        tokens_per_byte=tokens / length,
        unknown_rate=ids[vocabulary.unk_id] / max(tokens, 1),
        byte_fallback_rate=_share(ids, lambda token: is_byte(vocabulary, token)),
        used_ids=len(ids),
        vocabulary_use=len(ids) / (size - vocabulary.extra_ids - len(_specials(vocabulary))),
        changed_texts=sum(vocabulary.decode(tokens) != text for text, tokens in pairs),
        longest_text=max(map(len, encoded)),
        longest_pieces=_longest(vocabulary, ids),
    )


def _specials(vocabulary: seqio.Vocabulary) -> set[int]:
    found = {vocabulary.pad_id, vocabulary.eos_id, vocabulary.unk_id}
    return {token for token in found if token is not None}


def _share(ids: collections.Counter[int], holds: Callable[[int], bool]) -> float:
    """Fraction of the tokens that satisfy a condition."""
    return sum(count for token, count in ids.items() if holds(token)) / max(ids.total(), 1)


def _longest(vocabulary: seqio.Vocabulary, ids: collections.Counter[int]) -> dict[str, int]:
    kept = [token for token in ids if not is_byte(vocabulary, token)]
    counts = {piece_text(vocabulary, token): ids[token] for token in kept}
    order = sorted(counts, key=lambda piece: (-len(piece), piece))
    return {piece: counts[piece] for piece in order[:LONGEST]}


def table(reports: Mapping[str, TokenizerReport]) -> str:
    """A table of the reports with a column for each tokenizer."""
    fields = [f.name for f in dataclasses.fields(TokenizerReport) if f.name != "longest_pieces"]
    rows = [["", *reports]]
    rows += [[_label(f), *(_number(getattr(r, f)) for r in reports.values())] for f in fields]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_row(row, widths) for row in rows]
    return "\n".join([*lines, "", *(_pieces(name, report) for name, report in reports.items())])


def _label(field: str) -> str:
    return field.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _row(cells: list[str], widths: list[int]) -> str:
    label, *numbers = cells
    first, *others = widths
    padded = [number.rjust(width) for number, width in zip(numbers, others, strict=True)]
    return "  ".join([label.ljust(first), *padded]).rstrip()


def _pieces(name: str, report: TokenizerReport) -> str:
    shown = ", ".join(f"{piece!r} × {count:,}" for piece, count in report.longest_pieces.items())
    return f"longest pieces of {name}: {shown or 'none'}"
