"""sst2, sst5: sentences from film reviews, labelled with the author's sentiment.

What: the Stanford Sentiment Treebank's sentences; sst2 leaves out the neutral ones of sst5.
Source: `sst/{sst2,sst5}/*.tsv[.gz]` below `LM_DATA_DIR`, from github munikarmanish/RNTN.
Licence: none stated (Socher et al. 2013); treat as research use.
Splits: sst2 train 6,920, validation 872, test 1,821; sst5 8,544, 1,101, 2,210. GLUE's sst2 is
larger: its training set has phrases too. Never train on mr: these are the same sentences.

Metrics: accuracy. `sst2_text` is text to text. Example (sst2):

    inputs   [CLS] It 's a lovely film with lovely performances by Buy and Accorsi . [SEP]
    label    1 (positive)
"""

from tasks.support.classification import add_table, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("sst", origin="github.com/munikarmanish/RNTN")

FILES = {"train": "train.tsv*", "validation": "dev.tsv*", "test": "test.tsv*"}
LABELS = {
    "sst2": numbered("negative", "positive"),
    "sst5": numbered("very negative", "negative", "neutral", "positive", "very positive"),
}

for _name, _labels in LABELS.items():
    add_table(
        _name,
        {split: DATA_SET.file(f"{_name}/{file}") for split, file in FILES.items()},
        texts={"sentence": "text"},
        answer=_labels,
    )
