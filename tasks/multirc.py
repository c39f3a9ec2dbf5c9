"""multirc: is a suggested answer to a question on a passage correct?

What: Multi-Sentence Reading Comprehension, as in SuperGLUE; several answers may be correct.
Source: `fewglue/MultiRC.jsonl` below `LM_DATA_DIR`, from github.com/timoschick/fewglue.
Licence: none stated (SuperGLUE); treat as research use.
Splits: a quarter of its 32 lines, by content, is validation, the others are train: enough for
trying out, too few to learn from; `super_glue_multirc` is complete.

Metrics: F1 over all answers, and the fraction of questions with all answers classified correctly.
`multirc_text` is text to text. Example:

    inputs   [CLS] A stranger in town … [SEP] How does Jason react …? He shots him [SEP]
    label    0 (False)
"""

from tasks.support import super_glue
from tasks.support.local_data import DataSet
from tasks.support.reading import jsonl_source

DATA_SET = DataSet("fewglue", origin="github.com/timoschick/fewglue")

super_glue.add_multirc(
    "multirc",
    jsonl_source(
        "multirc",
        {"train": DATA_SET.file("MultiRC.jsonl")},
        super_glue.multirc,
        held_out=0.25,
    ),
)
