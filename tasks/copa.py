"""copa: which of two sentences is the cause or the result of a third?

What: the Choice of Plausible Alternatives, its development set.
Source: `copa_dev/*.jsonl` below `LM_DATA_DIR`, from github.com/drwiner/COPA.
Licence: BSD 2-Clause.
Splits: of 500 questions a fifth, by content, is validation, the others are train; SuperGLUE splits
the same 500 differently.

Metrics: accuracy. `copa_text` is text to text. Example:

    inputs   [CLS] My body cast a shadow over the grass. What was the cause? [SEP] The sun … [SEP] …
    label    0
"""

from tasks.support import super_glue
from tasks.support.local_data import DataSet
from tasks.support.reading import jsonl_source

DATA_SET = DataSet("copa_dev", origin="github.com/drwiner/COPA")

super_glue.add_copa(
    "copa",
    jsonl_source("copa", {"train": DATA_SET.file("copa_dev.jsonl")}, super_glue.copa, held_out=0.2),
)
