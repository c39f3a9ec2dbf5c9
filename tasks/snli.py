"""snli: does a caption entail a sentence, contradict it, or neither?

What: the Stanford Natural Language Inference corpus, a small part.
Source: `nli/snli_dev/*.tsv[.gz]` below `LM_DATA_DIR`, from github felipessalvatore/NLI_datasets.
Licence: CC BY-SA 4.0.
Splits: the official validation set, split again by premise: train 8,722, of which a tenth is the
split validation, test 1,109. The official training set is not in the pack.

Metrics: accuracy. `snli_text` is text to text. Example:

    inputs   [CLS] A man in a blue shirt standing in … [SEP] A man is repainting a garage [SEP]
    label    1 (neutral)
"""

from tasks.support.classification import add_table, held_out, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("nli", origin="github.com/felipessalvatore/NLI_datasets")

add_table(
    "snli",
    {"train": DATA_SET.file("snli_dev/train.tsv*"), "test": DATA_SET.file("snli_dev/test.tsv")},
    texts={"premise": "premise", "hypothesis": "hypothesis"},
    answer=named("entailment", "neutral", "contradiction"),
    splits=held_out,
)
