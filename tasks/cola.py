"""cola: sentences from the linguistics literature, acceptable English or not.

What: the Corpus of Linguistic Acceptability, public part.
Source: `cola/*.tsv` below `LM_DATA_DIR`, from github nyu-mll/CoLA-baselines.
Licence: copyright of the publications that the sentences come from; research use.
Splits: train 8,551, validation 1,043 (in and out of domain, as in GLUE).

Metrics: Matthews' correlation. `cola_text` is text to text. Example:

    inputs   [CLS] The sailors rode the breeze clear of the rocks. [SEP]
    label    1 (acceptable)
"""

from lm.data.evaluation.label_metrics import matthews
from tasks.support.classification import add_table, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("cola", origin="github.com/nyu-mll/CoLA-baselines")

add_table(
    "cola",
    {"train": DATA_SET.file("in_domain_train.tsv"), "validation": DATA_SET.file("*_dev.tsv")},
    texts={"sentence": "text"},
    answer=numbered("unacceptable", "acceptable"),
    metrics=[matthews],
)
