"""What another library needs to build the same model: type, hyperparameters and weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lm.errors import UserError
from lm.interop.bert import TOKENS
from lm.interop.funnel import FUNNEL
from lm.interop.huggingface import family
from lm.interop.renaming import Family, to_theirs
from lm.interop.switch import split_experts
from lm.nn.attention import SelfAttention
from lm.nn.dropout import Dropout
from lm.nn.moe import MixtureOfExperts
from lm.types import Batch

Hyperparameters = dict[str, Any]


class TwinSpec(NamedTuple):
    """A model of a type that other libraries have too.

    Attributes:
        model_type: one of `TYPES`.
        weights: tensors under Hugging Face's names.
        hyperparameters: those that the shapes of weights do not give; always `num_heads`,
            `head_dim` and `dropout`, the rate in training.
    """

    model_type: str
    weights: dict[str, np.ndarray]
    hyperparameters: Hyperparameters


class Kind(NamedTuple):
    """How to describe a type of model.

    Attributes:
        family: names of its weights.
        read: model and batch -> its own hyperparameters.
    """

    family: Family
    read: Callable[[Any, Batch], Hyperparameters]


def twin_spec(model: Any, batch: Batch) -> TwinSpec:
    """Returns what a twin of a built model needs.

    Args:
        model: of a type in `TYPES`.
        batch: what it is measured on.

    Raises:
        UserError: no other library has this composition.
    """
    model_type, weights = _named({_path(w.path): np.asarray(w.value) for w in model.weights})
    heads = _first(model, "options").options
    rates = {x.rate for x in _all(model, Dropout)}
    hyperparameters = {
        "num_heads": heads.num_heads,
        "head_dim": heads.head_dim,
        "dropout": max(rates, default=0.0),
    }
    return TwinSpec(model_type, weights, hyperparameters | TYPES[model_type].read(model, batch))


def stacked(model: Any, batch: Batch) -> Hyperparameters:
    """Returns the layers of each stack."""
    del batch
    return {"num_layers": len(_all(model.decoder, SelfAttention))}


def sparse(model: Any, batch: Batch) -> Hyperparameters:
    """Returns the layers of each stack, how many have experts, and the settings of the router."""
    sides = ("encoder", "decoder")
    lengths = {side: batch[f"{side}_input_tokens"].shape[1] for side in sides}
    mixtures = _all(model.decoder, MixtureOfExperts)
    one = mixtures[0]
    return {
        **stacked(model, batch),
        "num_sparse_layers": len(mixtures),
        "num_experts": one.router.num_experts,
        "capacity": {side: one.capacity(n) for side, n in lengths.items()},
        "jitter": one.router.gate.jitter.width,
        "balance_loss": one.router.balance_loss,
        "z_loss": one.router.gate.z_loss,
    }


def shortening(model: Any, batch: Batch) -> Hyperparameters:
    """Returns the layers of each block and of the decoder."""
    del batch
    return {
        "block_sizes": [len(block) for block in model.encoder.blocks],
        "block_repeats": list(model.encoder.repeats),
        "num_decoder_layers": len(model.encoder.decoder),
    }


# BERT's head for masked tokens on Funnel, whose own head is the embedding table and a bias.
FUNNEL_MASKED = Family(
    rules=(
        *FUNNEL.rules,
        *(
            rule._replace(
                theirs=rule.theirs.replace("cls.predictions", "lm_head"),
                ours=tuple(path.replace("encoder/", "funnel/") for path in rule.ours),
            )
            for rule in TOKENS
        ),
    ),
    prefix="",
    copies={},
    unused=(),
)
TYPES = {
    "gpt2": Kind(family("gpt2"), stacked),
    "t5": Kind(family("t5"), stacked),
    "t5_1_1": Kind(family("t5_1_1"), stacked),
    "switch": Kind(family("switch"), sparse),
    "funnel_masked": Kind(FUNNEL_MASKED, shortening),
}


def _named(ours: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the first type whose table names every variable, and the weights under its names."""
    for model_type, kind in TYPES.items():
        try:
            return model_type, split_experts(to_theirs(kind.family, ours))
        except (KeyError, UserError):
            continue
    raise UserError(f"--against compares {', '.join(TYPES)}; this model is composed otherwise")


def _path(path: str) -> str:
    """Removes what stands before the model's own name."""
    names = ("decoder_only/", "encoder_decoder/", "funnel/")
    starts = [path.find(name) for name in names if name in path]
    return path[min(starts) :] if starts else path


def _all(layer: Any, kind: type) -> list[Any]:
    """Returns the layers of a kind inside another, in order."""
    return [x for x in layer._flatten_layers() if isinstance(x, kind)]


def _first(layer: Any, attribute: str) -> Any:
    """Returns the first layer that has an attribute."""
    return next(x for x in layer._flatten_layers() if hasattr(x, attribute))
