"""wnli: does a sentence follow when its pronoun is replaced?

What: Winograd schemas as pairs of sentences, as GLUE has them.
Source: `nli/wnli/*.tsv[.gz]` below `LM_DATA_DIR`, from github felipessalvatore/NLI_datasets.
Licence: none stated (Levesque et al.; GLUE); treat as research use.
Splits: train 635, validation 71. Derived from Winograd schemas: do not report wsc273 for a model
trained on it.

Metrics: accuracy. `wnli_text` is text to text. Example:

    inputs   [CLS] Jane knocked on Susan's door but she did … [SEP] Susan did not answer. [SEP]
    label    1 (entailment)
"""

from tasks.support.classification import add_table, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("nli", origin="github.com/felipessalvatore/NLI_datasets")

add_table(
    "wnli",
    {"train": DATA_SET.file("wnli/train.tsv"), "validation": DATA_SET.file("wnli/dev.tsv")},
    texts={"sentence1": "premise", "sentence2": "hypothesis"},
    answer=named("not_entailment", "entailment"),
)
