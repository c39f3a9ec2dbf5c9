"""stsb: how similar in meaning two sentences are, from 0 to 5.

What: the Semantic Textual Similarity benchmark: captions, headlines, forums.
Source: `stsb/*.tsv[.gz]` below `LM_DATA_DIR`, from github aivilmo/textual-similarity.
Licence: scores CC BY-SA 4.0; sentences by source, some research only.
Splits: train 5,749, validation 1,500, test 1,379.

Metrics: Pearson's and Spearman's correlation. `stsb_text` is text to text, the score rounded to a
fifth. Example:

    inputs   [CLS] A young child is riding a horse. [SEP] A child is riding a horse. [SEP]
    score    4.75
"""

from lm.data.evaluation.label_metrics import pearson, spearman
from lm.data.registry.answers import ScoreVocabulary
from tasks.support.classification import add_table
from tasks.support.local_data import DataSet

DATA_SET = DataSet("stsb", origin="github.com/aivilmo/textual-similarity")

FILES = {"train": "train.tsv*", "validation": "dev.tsv*", "test": "test.tsv*"}

add_table(
    "stsb",
    {split: DATA_SET.file(file) for split, file in FILES.items()},
    texts={"sentence1": "sentence1", "sentence2": "sentence2"},
    answer=ScoreVocabulary(),
    column="score",
    metrics=[pearson, spearman],
)
