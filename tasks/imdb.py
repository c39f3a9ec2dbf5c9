"""imdb: film reviews, positive or negative; imdb_unsup: 50,000 unlabelled; imdb_paragraphs: all.

What: the Large Movie Review dataset; long texts with `<br />` marks, as published.
Source: `imdb/*.jsonl.gz`, `imdb_unsup/*.jsonl.gz` below `LM_DATA_DIR`, from github dax44/AMLM and
github PVidyadhar/Detection-of-Fraud-apps-using-Sentiment-Analysis.
Licence: none stated (Maas et al. 2011); treat as research use.
Splits: train 25,000, of which a tenth is the split validation, test 25,000; imdb_unsup: train
50,000, of which a hundredth is the split validation. The films of train and test are different.
imdb_paragraphs has only the split train, 100,000 in order: train, test, unlabelled. Vectors trained
on it have seen the texts of the test reviews, but not their labels.

Metrics: accuracy. `imdb_text` is text to text; imdb_unsup is for language models. Example (imdb):

    inputs   [CLS] Bromwell High is a cartoon comedy. … [SEP]
    label    1 (positive)
"""

from lm.data.preprocessing.classification_task import RowCheck
from lm.data.storage import sources
from tasks.support.classification import add_classification, held_out, numbered
from tasks.support.local_data import DataSet
from tasks.support.text import add_language_model

DATA_SET = DataSet("imdb", origin="github.com/dax44/AMLM")
UNLABELLED = DataSet(
    "imdb_unsup",
    origin="github.com/PVidyadhar/Detection-of-Fraud-apps-using-Sentiment-Analysis",
)

LABELS = numbered("negative", "positive")
REVIEWS = sources.jsonl_source(
    {split: DATA_SET.file(f"{split}.jsonl.gz") for split in ("train", "test")},
    fields=("text", "label"),
    as_text=("label",),
    check=RowCheck(("text",), "label", LABELS),
)
UNLABELLED_REVIEWS = sources.held_out(
    sources.jsonl_source({"train": UNLABELLED.file("unsup.jsonl.gz")}, fields=("text",)), 0.01
)

ALL_REVIEWS = sources.jsonl_source(
    {
        "train": lambda: [
            DATA_SET.file("train.jsonl.gz")(),
            DATA_SET.file("test.jsonl.gz")(),
            UNLABELLED.file("unsup.jsonl.gz")(),
        ]
    },
    fields=("text",),
)

add_classification("imdb", held_out(REVIEWS), texts={"sentence": "text"}, answer=LABELS)
add_language_model("imdb_unsup", UNLABELLED_REVIEWS, keys={"targets": "text"})
add_language_model("imdb_paragraphs", ALL_REVIEWS, keys={"targets": "text"}, add_eos=False)
