"""Vectors of texts by what a model's stack makes of their tokens: an `embed.embed.embedder`.

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
from lm.decode.model_inputs import START, bucket, padded
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
    """The tokens of a text, as in training: a decoder's row begins with token 0."""
    name = "targets" if "targets" in trained.features else "inputs"
    ids = trained.ids(text, name, add_eos=False)
    return ids if "encoder" in trained.model.sides else [START, *ids]


@part
def cls_and_sep(trained: Trained, text: str) -> list[int]:
    """`[CLS] text [SEP]`, as encoders read rows that they label."""
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
    """Returns `summary(stack(E[text]))` for each text, float32 [N, D]; of two stacks the encoder's.

    Args:
        trained: the model.
        texts: the texts.
        summary: `label_head.mean`, `label_head.first` or `label_head.last`, over real tokens.
        frame: `plain` or `cls_and_sep`.
        batch_size: texts in a batch; changes nothing but speed.

    Raises:
        UserError: a text is longer than the model's positions, by its number.
    """
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


def nearest(query: np.ndarray, vectors: np.ndarray, count: int) -> list[tuple[int, float]]:
    """Returns the indices and cosines of the vectors [N, D] closest to a query [D], best first.

    >>> found = nearest(np.array([1.0, 0.0]), np.array([[0.0, 2.0], [3.0, 3.0], [5.0, 0.0]]), 2)
    >>> [(i, round(cosine, 4)) for i, cosine in found]
    [(2, 1.0), (1, 0.7071)]
    """
    lengths = np.linalg.norm(vectors, axis=-1) * np.linalg.norm(query)
    cosines = vectors @ query / np.maximum(lengths, 1e-12)
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(i), float(cosines[i])) for i in order]


def plane(vectors: np.ndarray) -> np.ndarray:
    """Returns the two principal components of vectors [N, D], [N, 2]; the sign is arbitrary.

    >>> abs(plane(np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 5.0]])).round(6)).tolist()
    [[2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]
    """
    centred = vectors.astype("float64") - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.pad(centred @ axes[:2].T, [[0, 0], [0, max(0, 2 - len(axes))]])
