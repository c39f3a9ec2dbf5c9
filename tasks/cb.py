"""cb: is a speaker committed to the clause embedded in a text?

What: the CommitmentBank, as in SuperGLUE.
Source: `nli/commitment_bank/*.tsv` below `LM_DATA_DIR`, from github
felipessalvatore/NLI_datasets.
Licence: none stated (de Marneffe et al.; SuperGLUE); treat as research use.
Splits: train 250, validation 56.

Metrics: macro F1, accuracy. `cb_text` is text to text. Example:

    inputs   [CLS] Valence the void-brain, … [SEP] Valence was helping [SEP]
    label    1 (contradiction)
"""

from lm.data.evaluation.label_metrics import macro_f1
from lm.data.evaluation.metrics import accuracy
from tasks.support.classification import add_table, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("nli", origin="github.com/felipessalvatore/NLI_datasets")

add_table(
    "cb",
    {
        "train": DATA_SET.file("commitment_bank/train.tsv"),
        "validation": DATA_SET.file("commitment_bank/dev.tsv"),
    },
    texts={"premise": "premise", "hypothesis": "hypothesis"},
    answer=named("entailment", "contradiction", "neutral"),
    metrics=[macro_f1, accuracy],
)
