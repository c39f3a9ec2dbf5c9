"""sick, sick_relatedness: pairs of captions, entailment in three labels, relatedness from 1 to 5.

What: Sentences Involving Compositional Knowledge, SemEval 2014.
Source: `sick/*.tsv[.gz]` below `LM_DATA_DIR`, from github brmson/dataset-sts.
Licence: CC BY-NC-SA 3.0.
Splits: train 4,500, validation 500, test 4,927; sentences recur across them, pairs do not.

Metrics: accuracy; Pearson's and Spearman's correlation. `sick_text`, `sick_relatedness_text` are
text to text. Example (sick):

    inputs   [CLS] The young boys are playing outdoors … [SEP] There is no boy playing … [SEP]
    label    2 (contradiction)
"""

from lm.data.evaluation.label_metrics import pearson, spearman
from lm.data.registry.answers import LabelVocabulary, ScoreVocabulary
from tasks.support.classification import add_table
from tasks.support.local_data import DataSet

DATA_SET = DataSet("sick", origin="github.com/brmson/dataset-sts")

NAMES = {"train": "train.tsv*", "validation": "dev.tsv*", "test": "test.tsv*"}
FILES = {split: DATA_SET.file(name) for split, name in NAMES.items()}
TEXTS = {"sentence1": "sentence1", "sentence2": "sentence2"}
LABELS = {name.upper(): name for name in ("entailment", "neutral", "contradiction")}

add_table("sick", FILES, texts=TEXTS, answer=LabelVocabulary(LABELS), column="entailment")
add_table(
    "sick_relatedness",
    FILES,
    texts=TEXTS,
    answer=ScoreVocabulary(),
    column="relatedness",
    metrics=[pearson, spearman],
)
