"""Readers: every defect is named by file and line, and skipped or fatal by choice."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lm.data.storage import lines, readers
from lm.data.storage.lines import DefectReport
from lm.errors import UserError

DEFECTS = {
    "invalid UTF-8": b"caf\xe9",
    "NUL byte": b"a\0b",
    "carriage return inside the line": b"a\rb",
    "empty line": b"  ",
    "CRLF line end": b"kept\r",
}


def write(path, data):
    """Writes bytes to a file and returns its path."""
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("kind", "line"), DEFECTS.items())
def test_a_bad_line_is_named_by_file_and_line(tmp_path, kind, line):
    """The error is one line with the place first."""
    path = write(tmp_path / "a.txt", b"good\n" + line + b"\nlast\n")
    with pytest.raises(UserError, match=rf"a\.txt:2: {kind}") as caught:
        list(readers.read_text_lines(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "line"), DEFECTS.items())
def test_a_bad_line_is_skipped_and_counted(tmp_path, kind, line):
    """All other lines are read; a CRLF ending alone does not cost the line."""
    path = write(tmp_path / "a.txt", b"good\n" + line + b"\nlast\n")
    report = DefectReport("skip")
    kept = [] if kind != "CRLF line end" else ["kept"]
    assert list(readers.read_text_lines(path, report=report)) == ["good", *kept, "last"]
    assert dict(report.counts) == {kind: 1}
    assert str(report) == f"1 × {kind} (first {path}:2)"


def test_byte_order_mark_is_a_defect_of_line_1(tmp_path):
    """It is cut off when skipping."""
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone\ntwo\n")
    with pytest.raises(UserError, match=r"a\.txt:1: byte order mark"):
        list(readers.read_text_lines(path))
    assert list(readers.read_text_lines(path, on_error="skip")) == ["one", "two"]


def test_utf16_is_refused_not_read_as_soup(tmp_path):
    """Its zero bytes give it away."""
    path = write(tmp_path / "a.txt", "hello\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"a\.txt:1: NUL byte"):
        list(readers.read_text_lines(path))


@pytest.mark.parametrize("read", [readers.read_text_lines, readers.read_tsv, readers.read_jsonl])
def test_empty_file_is_named(tmp_path, read):
    """An empty file is a defect, by every reader."""
    path = write(tmp_path / "a.txt", b"")
    with pytest.raises(UserError, match=r"a\.txt:1: empty file"):
        list(read(path))
    assert list(read(path, on_error="skip")) == []


def test_a_line_over_the_limit_is_named_and_the_next_ones_are_read(tmp_path, monkeypatch):
    """Its length is never held in memory as a whole."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "a.txt", b"a" * 1000 + b"\n" + b"b" * 5000 + b"\nlast\n")
    with pytest.raises(UserError, match=r"a\.txt:2: line too long"):
        list(readers.read_text_lines(path))
    found = list(readers.read_text_lines(path, on_error="skip"))
    assert [len(line) for line in found] == [1000, 4]


def test_a_line_of_100_megabytes(tmp_path):
    """It is reported under the real limit."""
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 2**20)
    with pytest.raises(UserError, match=r"a\.txt:1: line too long \(over 64 MiB\)"):
        list(readers.read_text_lines(path))


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.999])
def test_a_cut_gzip_file_is_never_read_as_a_shorter_one(tmp_path, kept):
    """Not even when defects are skipped."""
    data = gzip.compress("\n".join(f"line {n * 7919}" for n in range(2000)).encode())
    path = write(tmp_path / "a.txt.gz", data[: int(len(data) * kept)])
    with pytest.raises(UserError, match=r"a\.txt\.gz: cut or damaged gzip"):
        list(readers.read_text_lines(path, on_error="skip"))


@pytest.mark.parametrize("name", ["rows.tsv.gz", "rows.jsonl.gz", "rows.json", "rows.table"])
def test_rows_are_json_lines_or_a_table_by_the_name(tmp_path, name):
    text = '{"text": "a film", "id": 1}\n' if ".json" in name else "id\ttext\n1\ta film\n"
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (tmp_path / name).write_bytes(content)
    rows = readers.read_rows(tmp_path / name, columns=["text", "id"], as_text=["id"])
    assert list(rows) == [{"text": "a film", "id": "1"}]


def test_missing_file_and_wrong_choice():
    """Both are errors of one line."""
    with pytest.raises(UserError, match="no file matches 'nowhere"):
        list(readers.read_text_lines("nowhere/*.txt"))
    with pytest.raises(UserError, match="on_error='ignore'"):
        list(readers.read_text_lines("x", on_error="ignore"))


def test_paragraphs_and_documents_keep_their_line_ends(tmp_path):
    """Empty lines are no defects there."""
    path = write(tmp_path / "a.txt", b"one\ntwo\n\n\nthree\n")
    assert list(readers.read_paragraphs(path)) == ["one\ntwo", "three"]
    assert list(readers.read_documents(path)) == ["one\ntwo\n\n\nthree\n"]


def test_parallel_files_lose_a_bad_pair_as_a_whole(tmp_path):
    """What stands beside a bad line goes with it; later pairs stay aligned."""
    paths = {
        "en": write(tmp_path / "en", b"1\n2\n\n4\n"),
        "de": write(tmp_path / "de", b"eins\nzw\xffei\ndrei\nvier\n"),
    }
    rows = list(readers.read_parallel(paths, on_error="skip"))
    assert rows == [{"en": "1", "de": "eins"}, {"en": "4", "de": "vier"}]
    with pytest.raises(UserError, match=r"de:2: invalid UTF-8 \(byte 3 of the line\)"):
        list(readers.read_parallel(paths))


def test_parallel_files_of_different_lengths_are_refused(tmp_path):
    """Whatever the choice: nobody can tell which line is missing."""
    paths = {"en": write(tmp_path / "en", b"1\n2\n"), "de": write(tmp_path / "de", b"eins\n")}
    with pytest.raises(UserError, match=r"de: has 1 lines"):
        list(readers.read_parallel(paths, on_error="skip"))


def test_tsv_by_header_and_by_names(tmp_path):
    """A plain split at tabs: quotes are text."""
    path = write(tmp_path / "a.tsv", b'a\tb\n1\t"x\n2\ty"\n')
    assert list(readers.read_tsv(path, columns=["b"])) == [{"b": '"x'}, {"b": 'y"'}]
    assert next(iter(readers.read_tsv(path, names=["k", "v"]))) == {"k": "a", "v": "b"}


def test_tsv_defects(tmp_path):
    """A missing column of a row is its defect, one of the header is fatal."""
    path = write(tmp_path / "a.tsv", b"a\tb\n1\n1\t2\t3\n1\t2\n")
    with pytest.raises(UserError, match=r"a\.tsv:2: missing column \(1 cells, 2 columns\)"):
        list(readers.read_tsv(path))
    report = DefectReport("skip")
    assert list(readers.read_tsv(path, report=report)) == [{"a": "1", "b": "2"}]
    assert dict(report.counts) == {"missing column": 1, "extra column": 1}
    with pytest.raises(UserError, match=r"a\.tsv:1: missing column 'c'; it has a, b"):
        list(readers.read_tsv(path, columns=["c"], on_error="skip"))


def test_an_empty_first_line_of_a_table_is_named(tmp_path):
    """It is no header; when skipping, the next line is."""
    path = write(tmp_path / "a.tsv", b"\na\tb\n1\t2\n")
    with pytest.raises(UserError, match=r"a\.tsv:1: empty line"):
        list(readers.read_tsv(path))
    assert list(readers.read_tsv(path, on_error="skip")) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"text": "a"', "broken JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"other": 1}', "missing field 'text'"),
        (b'{"text": "\\ud800"}', "broken JSON"),
        (b'{"text": ' + b"[" * 100_000 + b"}", "broken JSON"),
        (b'{"text": null}', r"not text \(field 'text' is null\)"),
        (b'{"text": 1}', r"not text \(field 'text' is a number\)"),
        (b'{"text": 1.5}', r"not text \(field 'text' is a number\)"),
        (b'{"text": NaN}', r"not text \(field 'text' is a number\)"),
        (b'{"text": true}', r"not text \(field 'text' is true or false\)"),
        (b'{"text": ["a", "b"]}', r"not text \(field 'text' is a list\)"),
        (b'{"text": {"text": "a"}}', r"not text \(field 'text' is an object\)"),
        (b'{"text": ' + b"[" * 50 + b"]" * 50 + b"}", r"not text \(field 'text' is a list\)"),
    ],
)
def test_jsonl_defects(tmp_path, line, kind):
    """Each is named, or skipped."""
    path = write(tmp_path / "a.jsonl", b'{"text": "good", "more": 1}\n' + line + b"\n")
    with pytest.raises(UserError, match=rf"a\.jsonl:2: {kind}"):
        list(readers.read_jsonl(path, fields=["text"]))
    report = DefectReport("skip")
    assert list(readers.read_jsonl(path, fields=["text"], report=report)) == [{"text": "good"}]
    assert sum(report.counts.values()) == 1
    assert list(report.first.values()) == [f"{path}:2"]


TEXT = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30)
LINES = st.lists(TEXT.filter(str.strip), min_size=1, max_size=20)
SHARED_FOLDER = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SHARED_FOLDER
@given(lines=LINES)
def test_any_sound_text_comes_back(tmp_path, lines):
    """Lines as they were, whatever Unicode they hold (U+2028 ends no line)."""
    path = write(tmp_path / "a.txt", "\n".join(lines).encode())
    assume_no_mark = [lines[0].lstrip("\ufeff"), *lines[1:]]
    found = list(readers.read_text_lines(path, on_error="skip"))
    assert found == [line for line in assume_no_mark if line.strip()]


@SHARED_FOLDER
@given(rows=st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.none()), min_size=1))
def test_any_json_objects_come_back(tmp_path, rows):
    """Objects as they were written."""
    lines = "\n".join(json.dumps(row) for row in rows)
    assert list(readers.read_jsonl(write(tmp_path / "a.jsonl", lines.encode()))) == rows


@SHARED_FOLDER
@given(data=st.binary(min_size=1, max_size=200))
def test_no_bytes_crash_a_reader(tmp_path, data):
    """Every line is yielded or counted."""
    path = write(tmp_path / "a.txt", data)
    report = DefectReport("skip")
    yielded = list(readers.read_text_lines(path, report=report))
    dropped = sum(report.counts.values())
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    repaired = report.counts["byte order mark"] + report.counts["CRLF line end"]
    assert len(yielded) <= lines <= len(yielded) + dropped
    assert dropped - repaired <= lines - len(yielded)
