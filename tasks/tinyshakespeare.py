"""tinyshakespeare, tinyshakespeare_char: 40,000 lines of Shakespeare's plays.

What: one unbroken text in ASCII, with no end-of-sequence id.
Source: `tinyshakespeare/input.txt` below `LM_DATA_DIR`, from github karpathy/char-rnn.
Licence: public domain.
Splits: the usual one: train, the first 90 % (1,003,854 characters); validation, the last 10 %
(111,540 characters).

`tinyshakespeare` is read as bytes, or by the vocabulary that a run chooses. `tinyshakespeare_char`
has one id for each of the text's 65 characters, 3 to 67 in the order of their code points; nanoGPT
numbers them 0 to 64. Ours keep 0 for padding and the start, 1 for the end, 2 for the unknown: 68
ids, three of which are never a target, so the losses compare.

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
