"""multirc: is a suggested answer to a question about a passage right?

What: Multi-Sentence Reading Comprehension, as SuperGLUE has it; several answers may be right.
Source: `fewglue/MultiRC.jsonl` below `LM_DATA_DIR`, from github.com/timoschick/fewglue.
Licence: none stated (SuperGLUE); treat as research use.
Splits: a quarter of its 32 lines, by content, is validation, the others are train: enough to try,
too few to learn from; `super_glue_multirc` is all of it.

Metrics: F1 over all answers, and the share of questions all of whose answers are right.
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
