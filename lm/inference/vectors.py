"""Vectors of texts from the outputs of a model's stack: an `embed.embed.embedder`.

encoders            mean, or first with `cls_and_sep`     label_head.mean, label_head.first
recurrent models    last                                  label_head.last
reversed sources    first: the encoder ends there         label_head.first
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from lm.decode.compiled import CompiledByShape
from lm.decode.model_inputs import bucket, padded
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.nn.label_head import Summary
from lm.nn.stack_state import Rows
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Features, Tensor

Frame: TypeAlias = Callable[[Trained, str], list[int]]
"""A model and a text -> the row that the model reads."""


@part
def plain(trained: Trained, text: str) -> list[int]:
    """Returns the tokens of a text as in training; a decoder's row begins with its start token."""
    name = "targets" if "targets" in trained.features else "inputs"
    ids = trained.ids(text, name, add_eos=False)
    return ids if "encoder" in trained.model.sides else [trained.start_token, *ids]


@part
def cls_and_sep(trained: Trained, text: str) -> list[int]:
    """Returns `[CLS] text [SEP]`, the rows of encoders that classify."""
    from lm.data.special_tokens import special_tokens

    name = "inputs" if "inputs" in trained.features else "targets"
    tokens = special_tokens(trained.features[name].vocabulary)
    return [tokens.cls, *trained.ids(text, name, add_eos=False), tokens.sep]


@part
def of_stack(
    *,
    trained: Trained,
    texts: Sequence[str],
    summary: Summary,
    frame: Frame = plain,
    batch_size: PositiveInt = 16,
) -> np.ndarray:
    """Returns `summary(stack(E[text]))` of each text, float32 [N, D]; the encoder, if there is one.

    Args:
        trained: the model.
        texts: the texts.
        summary: `label_head.mean`, `label_head.first` or `label_head.last`, over real tokens.
        frame: `plain` or `cls_and_sep`.
        batch_size: texts in a batch; affects only speed.

    Raises:
        UserError: a text has more tokens than the model has positions.
    """
    if not texts:
        return np.zeros((0, 0), "float32")
    rows = [frame(trained, text) for text in texts]
    side = trained.model.sides[0]
    limit = getattr(trained.model, side).max_sequence_length
    for number, row in enumerate(rows, 1):
        if limit is not None and len(row) > limit:
            raise UserError(f"text {number} has {len(row)} tokens, the model {limit} positions")
    program = CompiledByShape(trained.objective, functools.partial(summarised, summary=summary))
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        filled = [*chosen, *[chosen[0]] * (min(batch_size, len(rows)) - len(chosen))]
        width = bucket(len(rows[chosen[0]]))
        tokens, segments = padded([rows[i] for i in filled], min(width, limit or width))
        vectors = program({f"{side}_input_tokens": tokens, f"{side}_segment_ids": segments})
        found |= dict(zip(chosen, vectors, strict=False))
    return np.stack([found[i] for i in range(len(rows))]).astype("float32")


def summarised(objective: Any, features: Features, *, summary: Summary) -> Tensor:
    """Returns a vector for each row, [B, D]."""
    model = objective.model
    if len(model.sides) > 1:
        rows, _ = model.encoded(features, Rows())
        return summary(rows.memory, features["encoder_segment_ids"])
    hidden = model.hidden(features)
    x = hidden[0] if isinstance(hidden, tuple) else hidden
    return ops.cast(summary(x, features[f"{model.sides[0]}_segment_ids"]), "float32")
