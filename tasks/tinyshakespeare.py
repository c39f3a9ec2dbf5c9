"""tinyshakespeare, tinyshakespeare_char: 40,000 lines of Shakespeare's plays.

What: one continuous text in ASCII, without end-of-sequence ids.
Source: `tinyshakespeare/input.txt` below `LM_DATA_DIR`, from github karpathy/char-rnn.
Licence: public domain.
Splits: the usual one: train, the first 90 % (1,003,854 characters); validation, the last 10 %
(111,540 characters).

`tinyshakespeare` is read as bytes, or with the vocabulary that a run chooses. In
`tinyshakespeare_char` each of the text's 65 characters has an id, 3 to 67 in the order of their
code points; nanoGPT numbers them 0 to 64. Here 0 is padding and start, 1 end of sequence, 2
unknown: 68 ids, three of which are never targets, so losses are comparable.

Example (the beginning):

    First Citizen:
    Before we proceed any further, hear me speak.
"""

import string
from collections.abc import Iterator
from functools import partial

from lm.data.storage import files, readers, sources
from lm.data.vocabulary import character_vocabulary
from tasks.support.local_data import DataSet
from tasks.support.text import add_language_model

DATA_SET = DataSet("tinyshakespeare", origin="github.com/karpathy/char-rnn")

CHARACTERS = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
TRAIN_SHARE = 0.9
TEXT = DATA_SET.file("input.txt")


def documents(split: str) -> Iterator[dict[str, str]]:
    """The one document of a split."""
    (text,) = readers.read_documents(TEXT())
    border = int(TRAIN_SHARE * len(text))
    yield {"text": text[:border] if split == "train" else text[border:]}


SOURCE = sources.examples_source(
    "tinyshakespeare",
    {split: partial(documents, split) for split in ("train", "validation")},
    fingerprint=lambda: {"share": TRAIN_SHARE, "files": files.fingerprint([TEXT()])},
)
KEYS = {"targets": "text"}

add_language_model("tinyshakespeare", SOURCE, keys=KEYS, add_eos=False)
add_language_model(
    "tinyshakespeare_char",
    SOURCE,
    keys=KEYS,
    vocabulary=character_vocabulary(CHARACTERS),
    add_eos=False,
)
