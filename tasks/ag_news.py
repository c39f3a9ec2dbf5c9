"""ag_news: news articles, four topics.

What: title and description of each article; the official test set of AG News, split again.
Source: `ag_news/*.tsv[.gz]` below `LM_DATA_DIR`, from github mhjabreel/CharCnn_Keras.
Licence: non-commercial research.
Splits: train 6,600, of which a tenth is the split validation, test 1,000.

Metrics: accuracy. `ag_news_text` is text to text. Example:

    inputs   [CLS] Tremor shook Japan [SEP] At least 14 people sustained injuries when … [SEP]
    label    0 (world)
"""

from tasks.support.classification import add_table, held_out, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("ag_news", origin="github.com/mhjabreel/CharCnn_Keras")

add_table(
    "ag_news",
    {split: DATA_SET.file(f"{split}.tsv*") for split in ("train", "test")},
    texts={"title": "title", "description": "description"},
    answer=numbered("world", "sports", "business", "science", start=1),
    splits=held_out,
)
