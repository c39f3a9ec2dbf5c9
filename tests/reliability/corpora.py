"""Hostile corpora: what is in the file, what reading it strictly says, what skipping leaves."""

import gzip
from collections.abc import Callable
from typing import NamedTuple

from lm.data.storage.readers import read_jsonl, read_text_lines, read_tsv

FINE = ""


class Corpus(NamedTuple):
    """A file and its documented outcome.

    Attributes:
        content: the bytes, or a function that makes them, for large ones.
        says: part of the message of a strict reading; FINE if it is read whole.
        keeps: number of examples that skipping leaves.
        name: of the file.
        reader: of the file.
    """

    content: bytes | Callable[[], bytes]
    says: str
    keeps: int
    name: str = "corpus.txt"
    reader: Callable = read_text_lines


def text(content: str, says: str, keeps: int) -> Corpus:
    """Returns a corpus of UTF-8 text."""
    return Corpus(content.encode(), says, keeps)


CORPORA = {
    "plain": text("one\ntwo\n", FINE, 2),
    "no final line end": text("one\ntwo", FINE, 2),
    "empty file": Corpus(b"", ":1: empty file", 0),
    "blank line": text("one\n\ntwo\n", ":2: empty line", 2),
    "blank lines alone": text("\n\n\n", ":1: empty line", 0),
    "white space alone": text(" \t\u00a0\u3000\n", ":1: empty line", 0),
    "byte order mark": Corpus(b"\xef\xbb\xbfone\ntwo\n", ":1: byte order mark", 2),
    "byte order mark inside": text("one\n\ufefftwo\n", FINE, 2),
    "CRLF": Corpus(b"one\r\ntwo\r\n", ":1: CRLF line end", 2),
    "CRLF once": Corpus(b"one\ntwo\r\n", ":2: CRLF line end", 2),
    "CR inside a line": Corpus(b"one\rtwo\nthree\n", ":1: carriage return inside the line", 1),
    "CR alone": Corpus(b"one\rtwo\r", ":1: ", 0),
    "NUL": Corpus(b"one\nt\0wo\n", ":2: NUL byte (byte 2 of the line)", 1),
    "only NUL": Corpus(b"\0" * 64, ":1: NUL byte", 0),
    "invalid UTF-8": Corpus(b"one\nt\xffwo\n", ":2: invalid UTF-8 (byte 2 of the line)", 1),
    "Latin-1": Corpus("naïve\n".encode("latin-1"), ":1: invalid UTF-8", 0),
    "overlong UTF-8": Corpus(b"\xc0\xaf\n", ":1: invalid UTF-8", 0),
    "lone surrogate": Corpus(b"a\xed\xa0\x80b\n", ":1: invalid UTF-8", 0),
    "beyond Unicode": Corpus(b"\xf4\x90\x80\x80\n", ":1: invalid UTF-8", 0),
    "UTF-16": Corpus("one\ntwo\n".encode("utf-16"), ":1: ", 0),
    "UTF-32": Corpus("one\n".encode("utf-32"), ":1: ", 0),
    "cut character": Corpus("one\nzwö".encode()[:-1], ":2: invalid UTF-8", 1),
    "line separators": text("one\u2028two\u2029three\x85\n", FINE, 1),
    "joined emoji": text("👩\u200d👩\u200d👧 \u200b\n", FINE, 1),
    "right to left": text("שלום \u202eabc\u202c עולם\n", FINE, 1),
    "many combining marks": text("e" + "\u0301" * 5000 + "\n", FINE, 1),
    "noncharacters": text("\uffff\U0010ffff\ue000\n", FINE, 1),
    "control characters": text("\x1b[31mred\x07\x08\x7f\n", FINE, 1),
    "control tokens as text": text("</s> <extra_id_0> <pad>\n", FINE, 1),
    "a million words in a line": text("word " * 10**6 + "\n", FINE, 1),
    "two gzip members": Corpus(gzip.compress(b"one\n") * 2, FINE, 2, "corpus.txt.gz"),
    "gzip by name alone": Corpus(b"one\n", "damaged gzip", 0, "corpus.txt.gz"),
    "gzip and rubbish": Corpus(
        gzip.compress(b"one\n") + b"xyz", "damaged gzip", 0, "corpus.txt.gz"
    ),
    "JSON not a number": Corpus(b'{"a": NaN}\n', FINE, 1, "c.jsonl", read_jsonl),
    "JSON of brackets": Corpus(b"[" * 10**5 + b"\n", ":1: broken JSON", 0, "c.jsonl", read_jsonl),
    "JSON lone surrogate": Corpus(
        b'{"a": "\\ud800"}\n', ":1: broken JSON", 0, "c.jsonl", read_jsonl
    ),
    "JSON list": Corpus(b'{"a": 1}\n[1]\n', ":2: not a JSON object", 1, "c.jsonl", read_jsonl),
    "JSON cut": Corpus(b'{"a": 1}\n{"a": ', ":2: broken JSON", 1, "c.jsonl", read_jsonl),
    "JSON huge integer": Corpus(
        b'{"a": ' + b"9" * 5000 + b"}\n", ":1: broken JSON", 0, "c.jsonl", read_jsonl
    ),
    "table with a missing cell": Corpus(
        b"a\tb\n1\t2\n3\n", ":3: missing column (1 cells, 2 columns)", 1, "c.tsv", read_tsv
    ),
    "table with a cell too many": Corpus(
        b"a\tb\n1\t2\t3\n", ":2: extra column", 0, "c.tsv", read_tsv
    ),
    "a line of 100 MB": Corpus(
        lambda: b"x" * 10**8 + b"\ntwo\n", ":1: line too long (over 64 MiB)", 1
    ),
}
