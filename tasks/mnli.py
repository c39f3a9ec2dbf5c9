"""mnli: does a text entail a sentence, contradict it, or neither?

What: the Multi-Genre Natural Language Inference corpus, a small part.
Source: `nli/mnli_dev/*.tsv[.gz]` below `LM_DATA_DIR`, from github felipessalvatore/NLI_datasets.
Licence: OANC, CC BY 3.0 and CC BY-SA 3.0, by source of the text.
Splits: the official validation sets, matched and mismatched, split again by premise: train
17,699, of which a tenth is the split validation, test 1,948. The official training set is not in
the pack.

Metrics: accuracy. `mnli_text` is text to text. Example:

    inputs   [CLS] Sorry but that's how it is. [SEP] This is how things are and … [SEP]
    label    2 (contradiction)
"""

from tasks.support.classification import add_table, held_out, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("nli", origin="github.com/felipessalvatore/NLI_datasets")

add_table(
    "mnli",
    {"train": DATA_SET.file("mnli_dev/train.tsv*"), "test": DATA_SET.file("mnli_dev/test.tsv")},
    texts={"premise": "premise", "hypothesis": "hypothesis"},
    answer=named("entailment", "neutral", "contradiction"),
    splits=held_out,
)
