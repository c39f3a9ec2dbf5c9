"""tweeteval_emotion, tweeteval_irony, tweeteval_offensive: labels of tweets.

What: three tasks of TweetEval; user names are masked, some texts are offensive.
Source: `tweeteval/*/*.tsv[.gz]` below `LM_DATA_DIR`, from github cardiffnlp/tweeteval.
Licence: by task; those of Twitter may apply.
Splits: emotion train 3,257, validation 374, test 1,421; irony 2,862, 955, 784; offensive 11,916,
1,324, 860.

Metrics: macro F1 of emotion and offensive, F1 of irony; accuracy. `<name>_text` is text to text.
Example (tweeteval_emotion):

    inputs   [CLS] @user @user Oh, hidden revenge and anger...I rememberthe time,she … [SEP]
    label    0 (anger)
"""

from lm.data.evaluation.label_metrics import f1, macro_f1
from lm.data.evaluation.metrics import accuracy
from tasks.support.classification import add_table, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("tweeteval", origin="github.com/cardiffnlp/tweeteval")

FILES = {"train": "train.tsv*", "validation": "val.tsv", "test": "test.tsv"}
TASKS = {
    "emotion": (numbered("anger", "joy", "optimism", "sadness"), macro_f1),
    "irony": (numbered("not ironic", "ironic"), f1),
    "offensive": (numbered("not offensive", "offensive"), macro_f1),
}

for _name, (_labels, _metric) in TASKS.items():
    add_table(
        f"tweeteval_{_name}",
        {split: DATA_SET.file(f"{_name}/{file}") for split, file in FILES.items()},
        texts={"tweet": "text"},
        answer=_labels,
        metrics=[_metric, accuracy],
    )
