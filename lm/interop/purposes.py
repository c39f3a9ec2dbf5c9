"""How commands use an imported model: objective, features, and data from the user's own files.

The data files are placeholders until a user sets them: `--gin.TEXT_FILES='corpus/*.txt'`.
"""

from collections.abc import Mapping
from typing import Any

from lm.config.syntax import Reference
from lm.errors import UserError
from lm.interop.config_json import Purpose

PREDICTION, TEXTS = "objectives/token_prediction.gin", "data/text_files.gin"
TEXT_TASK = "lm.data.user_tasks.user.text_task"
TABLE_TASK = "lm.data.user_tasks.user_labels.classification_task"
LABELS_BY_DEFAULT = {"0": "LABEL_0", "1": "LABEL_1"}


def start_token(config: Mapping[str, Any], roles: Mapping[str, int]) -> int:
    """Returns the token that a language model reads first: GPT-2's `<|endoftext|>`."""
    del config
    return roles.get("bos", 0)


def label_names(config: Mapping[str, Any], roles: Mapping[str, int] | None = None) -> list[str]:
    """Returns the names of the labels in the order of their ids."""
    del roles
    found = config.get("id2label") or LABELS_BY_DEFAULT
    ids = [str(number) for number in range(len(found))]
    if not isinstance(found, dict) or sorted(found) != sorted(ids):
        raise UserError(f"config.json: id2label = {found!r:.60} does not name labels 0, 1, …")
    names = [found[number] for number in ids]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(f"config.json: id2label = {found!r:.60} does not name each label apart")
    return names


CONTINUATION = Purpose(
    (PREDICTION, "features/language_model.gin", TEXTS, "optim/adamw.gin"),
    TEXT_TASK,
    ("targets",),
    values={"START_TOKEN": start_token},
)
"""A language model: `lm generate`, `lm score`, `lm eval` on texts."""

ANSWER = Purpose(
    (
        PREDICTION,
        "features/encoder_decoder.gin",
        "data/user_pairs.gin",
        "optim/adafactor_constant.gin",
    ),
    "lm.data.user_tasks.user.tsv_task",
    ("inputs", "targets"),
)
"""An encoder-decoder: the same commands on pairs of texts."""

MASKED = Purpose(
    (PREDICTION, "features/masked_rows.gin", TEXTS, "optim/adamw_linear.gin"),
    TEXT_TASK,
    ("inputs",),
    {f"{TEXT_TASK}.add_eos": False},
)
"""A masked language model: `lm eval` on texts."""

PERMUTED = Purpose(
    (
        "objectives/permutation.gin",
        "features/permutation.gin",
        TEXTS,
        "optim/adamw_linear.gin",
    ),
    TEXT_TASK,
    ("targets",),
    {f"{TEXT_TASK}.add_eos": False},
)
"""XLNet's objective: `lm eval` on texts."""

LABELS = Purpose(
    (
        "objectives/labels.gin",
        "features/classification.gin",
        "data/user_table.gin",
        "optim/adamw_layerwise.gin",
    ),
    TABLE_TASK,
    ("inputs",),
    values={f"{TABLE_TASK}.labels": label_names},
    sizes={"NUM_LABELS": lambda config: len(label_names(config))},
)
"""A classifier: `lm predict`, `lm eval` on a table."""


def joined_by(purpose: Purpose, join: str) -> Purpose:
    """Returns a purpose that joins texts with another function of `text_pairs`."""
    path = Reference("", f"lm.data.preprocessing.text_pairs.{join}", is_call=False)
    return purpose._replace(bindings={**purpose.bindings, f"{TABLE_TASK}.join": path})
