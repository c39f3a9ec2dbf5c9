"""super_glue_boolq, super_glue_copa, …: the SuperGLUE benchmark for encoders, from TFDS.

What: yes-no questions on a passage (boolq), entailment (cb, rte), causes and results (copa),
suggested answers (multirc), gaps to fill with an entity (record), words in two contexts (wic).
boolq, cb, copa, multirc, record, rte, wic below `LM_DATA_DIR` need no TFDS; most are small.
t5 names the text-to-text form of the same data `super_glue_boolq_v102`.
Source: TFDS `super_glue/<task>:1.0.2`; `tfds build` with that name downloads one.
Licence: by task, see https://super.gluebenchmark.com.
Splits: train, validation; test labels are not public.

Metrics: accuracy; for cb also macro F1; for multirc F1 and exact match per question; for record
exact match and F1 of words. `super_glue_<task>_text` is text to text.
"""

import seqio

from lm.data.evaluation.label_metrics import macro_f1
from lm.data.evaluation.metrics import accuracy
from tasks.support import super_glue
from tasks.support.classification import add_classification, numbered
from tasks.support.reading import tfds_source

SPLITS = {"train": "train", "validation": "validation"}
PAIR = {"premise": "premise", "hypothesis": "hypothesis"}

# task: (names of the labels, metrics)
ENTAILMENT = {
    "cb": (("entailment", "contradiction", "neutral"), [macro_f1, accuracy]),
    "rte": (("entailment", "not_entailment"), [accuracy]),
}
# task: (reading, what registers it)
READ = {
    "boolq": (super_glue.boolq, super_glue.add_boolq),
    "copa": (super_glue.copa, super_glue.add_copa),
    "multirc": (super_glue.multirc, super_glue.add_multirc),
    "record": (super_glue.record, super_glue.add_record),
    "wic": (super_glue.wic, super_glue.add_wic),
}

for _task, (_labels, _metrics) in ENTAILMENT.items():
    add_classification(
        f"super_glue_{_task}",
        seqio.TfdsDataSource(f"super_glue/{_task}:1.0.2", splits=SPLITS),
        texts=PAIR,
        answer=numbered(*_labels),
        metrics=_metrics,
        benchmark=_task,
    )

for _task, (_read, _add) in READ.items():
    _name = f"super_glue_{_task}"
    _add(_name, tfds_source(_name, f"super_glue/{_task}:1.0.2", SPLITS, _read))
