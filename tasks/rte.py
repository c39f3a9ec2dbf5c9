"""rte: does a text entail a sentence?

What: pairs of the textual entailment challenges, as GLUE has them.
Source: `nli/rte/*.tsv[.gz]` below `LM_DATA_DIR`, from github felipessalvatore/NLI_datasets.
Licence: none stated (Dagan et al.; GLUE); treat as research use.
Splits: train 2,490, validation 277.

Metrics: accuracy. `rte_text` is text to text. Example:

    inputs   [CLS] Dana Reeve, the widow of … [SEP] Christopher Reeve had an accident. [SEP]
    label    1 (not_entailment)
"""

from tasks.support.classification import add_table, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("nli", origin="github.com/felipessalvatore/NLI_datasets")

add_table(
    "rte",
    {"train": DATA_SET.file("rte/train.tsv*"), "validation": DATA_SET.file("rte/dev.tsv")},
    texts={"sentence1": "premise", "sentence2": "hypothesis"},
    answer=named("entailment", "not_entailment"),
)
