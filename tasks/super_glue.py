"""super_glue_boolq, super_glue_cb, super_glue_rte: pairs of the SuperGLUE benchmark, from TFDS.

What: yes-no questions to a passage, and two tasks of entailment. t5 names the text-to-text form of
these and of the other tasks `super_glue_boolq_v102`.
Source: TFDS `super_glue/<task>:1.0.2`; `tfds build` with that name downloads one.
Licence: by task, see https://super.gluebenchmark.com.
Splits: train, validation; labels of the tests are not public.

Metrics: accuracy; of cb macro F1 too. `super_glue_<task>_text` is text to text.
"""

import seqio

from lm.data.evaluation.label_metrics import macro_f1
from lm.data.evaluation.metrics import accuracy
from tasks.support.classification import add_classification, numbered

PAIR = ("premise", "hypothesis")

# task: (texts, names of the labels, metrics)
TASKS = {
    "boolq": (("question", "passage"), ("False", "True"), [accuracy]),
    "cb": (PAIR, ("entailment", "contradiction", "neutral"), [macro_f1, accuracy]),
    "rte": (PAIR, ("entailment", "not_entailment"), [accuracy]),
}

for _task, (_texts, _labels, _metrics) in TASKS.items():
    add_classification(
        f"super_glue_{_task}",
        seqio.TfdsDataSource(f"super_glue/{_task}:1.0.2", splits=["train", "validation"]),
        texts={text: text for text in _texts},
        answer=numbered(*_labels),
        metrics=_metrics,
        benchmark=_task,
    )
