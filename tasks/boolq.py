"""boolq: yes-no questions on a passage.

What: naturally asked questions with passages from Wikipedia, as in SuperGLUE.
Source: `boolq/*.jsonl.gz`, `fewglue/BoolQ.jsonl` below `LM_DATA_DIR`, from github
mosaicml/llm-foundry and github timoschick/fewglue.
Licence: CC BY-SA 3.0.
Splits: train 32, validation 3,270; `super_glue_boolq` has 9,427 to train on.

Metrics: accuracy. `boolq_text` is text to text. Example:

    inputs   [CLS] is ghost in the shell based on the anime [SEP] Ghost in the Shell -- … [SEP]
    label    0 (False)
"""

from tasks.support import super_glue
from tasks.support.local_data import DataSet
from tasks.support.reading import jsonl_source

TRAIN = DataSet("fewglue", origin="github.com/timoschick/fewglue")
VALIDATION = DataSet("boolq", origin="github.com/mosaicml/llm-foundry")

super_glue.add_boolq(
    "boolq",
    jsonl_source(
        "boolq",
        {"train": TRAIN.file("BoolQ.jsonl"), "validation": VALIDATION.file("boolq.jsonl.gz")},
        super_glue.boolq,
    ),
)
