"""wic: does a word mean the same in two sentences?

What: Words in Context, as in SuperGLUE.
Source: `fewglue/WiC.jsonl` below `LM_DATA_DIR`, from github.com/timoschick/fewglue.
Licence: none stated (SuperGLUE); treat as research use.
Splits: a quarter of its 32 lines, by content, is validation, the others are train: enough for
trying out, too few to learn from; `super_glue_wic` is complete.

Metrics: accuracy. `wic_text` is text to text. Example:

    inputs   [CLS] feel: You make me feel naked. [SEP] She felt small and … [SEP]
    label    1 (True)
"""

from tasks.support import super_glue
from tasks.support.local_data import DataSet
from tasks.support.reading import jsonl_source

DATA_SET = DataSet("fewglue", origin="github.com/timoschick/fewglue")

super_glue.add_wic(
    "wic",
    jsonl_source(
        "wic",
        {"train": DATA_SET.file("WiC.jsonl")},
        super_glue.wic,
        held_out=0.25,
    ),
)
