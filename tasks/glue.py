"""glue_cola, glue_sst2, glue_mrpc, …: the GLUE benchmark in full, from TFDS.

What: nine tasks of sentences and pairs; sst, cola, mrpc, rte, wnli, stsb below `LM_DATA_DIR` do not
need TFDS. t5 names the text-to-text form of the same data `glue_sst2_v002`.
Source: TFDS `glue/<task>:1.0.0`; `tfds build` with that name downloads one.
Licence: by task, see https://gluebenchmark.com.
Splits: train, validation (mnli: matched; test is mismatched); test labels are not public.

Metrics: those of GLUE: Matthews' correlation (cola), F1 and accuracy (mrpc, qqp), Pearson's and
Spearman's correlation (stsb), accuracy. `glue_<task>_text` is text to text.
"""

import seqio

from lm.data.evaluation.label_metrics import f1, matthews, pearson, spearman
from lm.data.evaluation.metrics import accuracy
from lm.data.registry.answers import ScoreVocabulary
from tasks.support.classification import add_classification, numbered

PAIR = ("sentence1", "sentence2")
ENTAILED = ("entailment", "not_entailment")
THREE = ("entailment", "neutral", "contradiction")
SPLITS = {"train": "train", "validation": "validation"}
MNLI_SPLITS = {
    "train": "train",
    "validation": "validation_matched",
    "test": "validation_mismatched",
}

# task: (texts, names of the labels, metrics)
TASKS = {
    "cola": (("sentence",), ("unacceptable", "acceptable"), [matthews]),
    "sst2": (("sentence",), ("negative", "positive"), [accuracy]),
    "mrpc": (PAIR, ("not_equivalent", "equivalent"), [f1, accuracy]),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate"), [f1, accuracy]),
    "stsb": (PAIR, (), [pearson, spearman]),
    "mnli": (("premise", "hypothesis"), THREE, [accuracy]),
    "qnli": (("question", "sentence"), ENTAILED, [accuracy]),
    "rte": (PAIR, ENTAILED, [accuracy]),
    "wnli": (PAIR, ENTAILED[::-1], [accuracy]),
}

for _task, (_texts, _labels, _metrics) in TASKS.items():
    add_classification(
        f"glue_{_task}",
        seqio.TfdsDataSource(
            f"glue/{_task}:1.0.0", splits=MNLI_SPLITS if _task == "mnli" else SPLITS
        ),
        texts={text: text for text in _texts},
        answer=numbered(*_labels) if _labels else ScoreVocabulary(),
        metrics=_metrics,
        benchmark=_task,
    )
