"""mrpc: pairs of sentences from news, paraphrases or not.

What: the Microsoft Research Paraphrase Corpus.
Source: `mrpc/*.tsv[.gz]` below `LM_DATA_DIR`, from github brmson/dataset-sts.
Licence: MSR-SSLA, non-commercial use.
Splits: train 3,576, validation 500 (taken from the official training set), test 1,725.

Metrics: F1, accuracy. `mrpc_text` is text to text. Example:

    inputs   [CLS] Druce will face murder charges, Conte said. [SEP] Conte said … [SEP]
    label    1 (equivalent)
"""

from lm.data.evaluation.label_metrics import f1
from lm.data.evaluation.metrics import accuracy
from tasks.support.classification import add_table, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("mrpc", origin="github.com/brmson/dataset-sts")

FILES = {"train": "train.tsv*", "validation": "val.tsv*", "test": "test.tsv*"}

add_table(
    "mrpc",
    {split: DATA_SET.file(file) for split, file in FILES.items()},
    texts={"sentence1": "sentence1", "sentence2": "sentence2"},
    answer=numbered("not_equivalent", "equivalent"),
    metrics=[f1, accuracy],
)
