"""pg19: books of Project Gutenberg from before 1919.

What: whole books, one document each, for models of long texts.
Source: TFDS `pg19:0.1.1`; `tfds build pg19:0.1.1` downloads it (11 GiB).
Licence: Apache-2.0 for the collection; the books are in the public domain in the USA
(Rae et al. 2020, https://arxiv.org/abs/1911.05507).
Splits: train 28,602, validation 50, test 100.
"""

import seqio

from tasks.support.text import STREAMED, add_language_model

add_language_model(
    "pg19",
    seqio.TfdsDataSource("pg19:0.1.1", splits=["train", "validation", "test"]),
    keys={"targets": "book_text"},
    steps=STREAMED,
)
