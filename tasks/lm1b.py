"""lm1b: the One Billion Word benchmark, shuffled sentences from news.

What: English sentences, tokenized, one document each.
Source: TFDS `lm1b:1.1.0`; `tfds build lm1b:1.1.0` downloads it (1.7 GiB).
Licence: see http://www.statmt.org/lm-benchmark/ (Chelba et al. 2013).
Splits: train 30,301,028, test 306,688.
"""

import seqio

from tasks.support.text import STREAMED, add_language_model

add_language_model(
    "lm1b",
    seqio.TfdsDataSource("lm1b:1.1.0", splits=["train", "test"]),
    keys={"targets": "text"},
    steps=STREAMED,
)
