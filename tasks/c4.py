"""c4: the Colossal Clean Crawled Corpus, English web pages.

What: cleaned pages of Common Crawl of April 2019, one document each.
Source: TFDS `c4/en:3.1.0`; `tfds build c4/en:3.1.0` makes it from the raw crawl with
Beam, which takes terabytes.
Licence: ODC-BY 1.0 and Common Crawl's terms of use.
Splits: train, validation (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.2).
"""

import seqio

from tasks.support.text import STREAMED, add_language_model

add_language_model(
    "c4",
    seqio.TfdsDataSource("c4/en:3.1.0", splits=["train", "validation"]),
    keys={"targets": "text"},
    steps=STREAMED,
)
