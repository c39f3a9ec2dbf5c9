"""novels_dev: thirteen English novels of 1847 to 1911.

What: whole books, one document each.
Source: `novels_dev/{train,valid,test}/*.txt.gz` of the shared data folder, from github
computationalstylistics/100_english_novels.
Licence: public domain (every author died in 1936 or earlier).
Splits: by book: train 11 (1,492,159 words), validation 1 (82,948), test 1 (139,234).

Example (the beginning of a document):

    TREASURE ISLAND

    by Robert Louis Stevenson
"""

from lm.data import readers, sources
from tasks.support import shared_data
from tasks.support.text import add_language_model

FOLDERS = {"train": "train", "validation": "valid", "test": "test"}

add_language_model(
    "novels_dev",
    sources.text_source(
        {
            split: shared_data.path("novels_dev", f"{name}/*.txt.gz")
            for split, name in FOLDERS.items()
        },
        reader=readers.read_documents,
    ),
    keys={"targets": "text"},
)
