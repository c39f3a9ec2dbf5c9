"""reviews_and_novels: the texts of `imdb_unsup` and `novels_dev_passages`, one after the other.

What: 49,500 film reviews and 4,400 passages of novels, for comparing pre-training methods on a
small encoder. It is one task, not a mixture, since contiguous rows need documents of one task.
Source, licence: those of the two; splits: train, validation.

Example (the beginning of a review):

    I was looking forward to this film for a long time. …
"""

from lm.data.storage import sources
from tasks import imdb, novels_dev
from tasks.support.text import add_language_model

add_language_model(
    "reviews_and_novels",
    sources.joined("reviews_and_novels", imdb.UNLABELLED_REVIEWS, novels_dev.PASSAGES),
    keys={"targets": "text"},
)
