"""wiki40b: cleaned English Wikipedia articles.

What: articles of entities, one document each, their structure marked by words such as
`_START_ARTICLE_` and `_START_PARAGRAPH_`.
Source: TFDS `wiki40b/en:1.3.0`; `tfds build wiki40b/en:1.3.0` downloads it.
Licence: CC BY-SA 3.0 (Guo et al. 2020).
Splits: train, validation, test, about 90 %, 5 % and 5 %.
"""

import seqio

from tasks.support.text import STREAMED, add_language_model

add_language_model(
    "wiki40b",
    seqio.TfdsDataSource("wiki40b/en:1.3.0", splits=["train", "validation", "test"]),
    keys={"targets": "text"},
    steps=STREAMED,
)
