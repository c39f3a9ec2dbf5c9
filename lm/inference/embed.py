"""A vector for each text: the entry function of `lm embed`, `embed.embed` in gin."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lm.errors import UserError
from lm.inference.trained import Trained
from lm.parts import entry


class Embedder(Protocol):
    """Computes the vectors of texts; the gin files of a family bind `embed.embed.embedder`."""

    def __call__(self, *, trained: Trained, texts: Sequence[str]) -> np.ndarray:
        """Returns float32 [N, D]; the vector of a text must not depend on the other texts."""


@entry
def embed(
    *, trained: Trained, texts: Sequence[str], embedder: Embedder | None = None
) -> np.ndarray:
    """Returns a vector for each text, float32 [N, D], in order.

    Args:
        trained: the model.
        texts: the texts, none of them empty.
        embedder: computes the vectors.

    Raises:
        UserError: the model has no embedder, or a text is empty.
    """
    if embedder is None:
        raise UserError(
            f"{type(trained.model).__name__} cannot embed texts: its gin files bind no "
            "embed.embed.embedder"
        )
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise UserError(f"text {number} is empty")
    return embedder(trained=trained, texts=texts)
