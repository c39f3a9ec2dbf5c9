"""What another library must know to build the same model: its type, numbers and weights."""

from typing import Any, NamedTuple

import numpy as np

from lm.errors import UserError
from lm.interop.huggingface import weights_to
from lm.nn.dropout import Dropout

TYPES = ("gpt2", "t5", "t5_1_1")


class Sizes(NamedTuple):
    """A model of a type that others have too.

    Attributes:
        model_type: one of `TYPES`.
        weights: tensors under Hugging Face's names.
        num_layers: of each stack.
        num_heads: of each attention.
        head_dim: width of a head.
        dropout: rate of training.
    """

    model_type: str
    weights: dict[str, np.ndarray]
    num_layers: int
    num_heads: int
    head_dim: int
    dropout: float


def sizes(model: Any) -> Sizes:
    """Reads off a built model what its twin needs.

    Raises:
        UserError: no other library has this composition.
    """
    model_type, weights = _named({_path(w.path): np.asarray(w.value) for w in model.weights})
    residuals = model.decoder.residuals
    heads = residuals[0].branch.heads
    branches = len({type(residual.branch) for residual in residuals})
    rates = {x.rate for x in model._flatten_layers() if isinstance(x, Dropout)}
    return Sizes(
        model_type=model_type,
        weights=weights,
        num_layers=len(residuals) // branches,
        num_heads=heads.num_heads,
        head_dim=heads.head_dim,
        dropout=max(rates, default=0.0),
    )


def _named(ours: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the first type whose table names every variable, and the weights under its names."""
    for model_type in TYPES:
        try:
            return model_type, weights_to(model_type, ours)
        except (KeyError, UserError):
            continue
    raise UserError(f"--against compares {', '.join(TYPES)}; this model is composed otherwise")


def _path(path: str) -> str:
    """Leaves out what stands before the model's own name."""
    names = ("decoder_only/", "encoder_decoder/")
    places = [path.find(name) for name in names if name in path]
    return path[min(places) :] if places else path
