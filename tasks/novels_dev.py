"""novels_dev: thirteen English novels of 1847 to 1911; novels_dev_passages: the same in passages.

What: whole books, one document each; passages of about 2,000 characters, cut at blank lines, for
mixtures that alternate between books.
Source: `novels_dev/{train,valid,test}/*.txt.gz` below `LM_DATA_DIR`, from github
computationalstylistics/100_english_novels.
Licence: public domain (every author died in 1936 or earlier).
Splits: by book: train 11 (1,492,159 words), validation 1 (82,948), test 1 (139,234).

Example (the beginning of a document):

    TREASURE ISLAND

    by Robert Louis Stevenson
"""

from collections.abc import Iterator

from lm.data.storage import readers, sources
from lm.data.storage.lines import DefectReport
from tasks.support.local_data import DataSet
from tasks.support.text import add_language_model

DATA_SET = DataSet("novels_dev", origin="github.com/computationalstylistics/100_english_novels")

FOLDERS = {"train": "train", "validation": "valid", "test": "test"}
FILES = {split: DATA_SET.file(f"{name}/*.txt.gz") for split, name in FOLDERS.items()}
PASSAGE = 2000


def read_passages(
    paths: readers.Paths, *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[str]:
    """Yields each book in passages that end at the first blank line after `PASSAGE` characters."""
    for book in readers.read_documents(paths, on_error=on_error, report=report):
        start = 0
        while start < len(book):
            blank = book.find("\n\n", start + PASSAGE)
            end = blank + 2 if blank >= 0 else len(book)
            yield book[start:end]
            start = end


BOOKS = sources.text_source(FILES, reader=readers.read_documents)
PASSAGES = sources.text_source(FILES, reader=read_passages)

add_language_model("novels_dev", BOOKS, keys={"targets": "text"})
add_language_model("novels_dev_passages", PASSAGES, keys={"targets": "text"})
