"""record: which entity of a passage fills the gap of a sentence?

What: Reading Comprehension with Commonsense Reasoning, as in SuperGLUE.
Source: `fewglue/ReCoRD.jsonl` below `LM_DATA_DIR`, from github.com/timoschick/fewglue.
Licence: none stated (SuperGLUE); treat as research use.
Splits: a quarter of its 32 lines, by content, is validation, the others are train: enough for
trying out, too few to learn from; `super_glue_record` is complete.

Metrics: exact match and F1 of words. `record_text` is text to text. Example:

    inputs   [CLS] By Hamish Mackay … [SEP] … was that Diego Costa made it difficult. [SEP] …
    label    4 (Olimpija Ljubljana)
"""

from tasks.support import super_glue
from tasks.support.local_data import DataSet
from tasks.support.reading import jsonl_source

DATA_SET = DataSet("fewglue", origin="github.com/timoschick/fewglue")

super_glue.add_record(
    "record",
    jsonl_source(
        "record",
        {"train": DATA_SET.file("ReCoRD.jsonl")},
        super_glue.record,
        held_out=0.25,
    ),
)
