"""word2vec's formats there and back, and hostile files: one line each."""

import numpy as np
import pytest

from lm.errors import UserError
from lm.interop import word2vec

NAMES = ["film", "größe", ",", "日本"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
WRITE = {"text": word2vec.write_text, "binary": word2vec.write_binary}
READ = {"text": word2vec.read_text, "binary": word2vec.read_binary}


@pytest.mark.parametrize("form", WRITE)
def test_what_is_written_is_read(form, tmp_path):
    WRITE[form](tmp_path / "v", NAMES, VECTORS)
    found = READ[form](tmp_path / "v")
    assert found.names == NAMES
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_a_binary_file_without_line_ends_is_read(tmp_path):
    (tmp_path / "v").write_bytes(b"2 1\na \0\0\x80?b \0\0\0@")
    assert word2vec.read_binary(tmp_path / "v").vectors.tolist() == [[1.0], [2.0]]


HOSTILE = [
    ("text", b"", "v:1: no header `count width`"),
    ("text", b"two 3\n", "v:1: no header"),
    ("text", b"-1 3\n", "v:1: no header"),
    ("text", b"999999999 300\na 1\n", "bytes are no 999999999 vectors of width 300: it is cut"),
    ("text", b"2 2\na 1 2\nb 1\n     ", "v:3: 2 cells, not a word and 2 numbers"),
    ("text", b"2 2\na 1 2\na 3 4\n", "v:3: 'a' is word 1 too"),
    ("text", b"1 2\na 1 x\n", "v:2: could not convert"),
    ("text", b"1 2\na 1 nan\n", "v:2: a number is not finite"),
    ("text", b"1 2\na\0b 1 2\n", "v:2: no word but"),
    ("text", b"1 2\n\xff 1 2\n", "v:2: the word is not UTF-8"),
    ("text", b"1 2\na 1 2\nb 3 4\n", "more follows the 1 words"),
    ("binary", b"2 1\na \0\0\x80?\nb \0\0", "word 2: the file ends in the middle"),
    ("binary", b"2 1\na \0\0\x80?\nabcdef", "word 2: the file ends before it"),
    ("binary", b"1 1\na \0\0\xc0\x7f", "word 1: a number is not finite"),
    ("binary", b"1 1\n" + b"a" * 5000, "word 1: no space after 4096 bytes"),
    ("binary", b"2 1\na \0\0\x80?\na \0\0\x80?", "word 2: 'a' is word 1 too"),
    ("binary", b"1 1\n\0 \0\0\x80?", "word 1: no word but"),
]


@pytest.mark.parametrize(("form", "content", "message"), HOSTILE)
def test_a_hostile_file_is_one_line(form, content, message, tmp_path):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        READ[form](tmp_path / "v")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["two words", "", "a\0", "line\n"])
def test_a_name_that_the_formats_cannot_hold_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="cannot hold the name"):
        word2vec.write_text(tmp_path / "v", [name], VECTORS[:1])
