"""What another library needs to build the same model: type, hyperparameters, weights."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lm.errors import UserError
from lm.interop.bert import BERT_MASKED, TOKENS
from lm.interop.electra import ELECTRA, ELECTRA_GENERATOR
from lm.interop.funnel import FUNNEL
from lm.interop.gpt2 import GPT2
from lm.interop.huggingface import theirs
from lm.interop.renaming import Family, Rule, linear, same
from lm.interop.switch import SWITCH
from lm.interop.t5 import T5, T5_1_1
from lm.interop.xlnet import XLNET
from lm.nn.attention import SelfAttention
from lm.nn.cells import LSTM
from lm.nn.dropout import Dropout
from lm.nn.moe import MixtureOfExperts
from lm.nn.two_stream_attention import TwoStreamAttention
from lm.types import Batch

Hyperparameters = dict[str, Any]


class TwinSpec(NamedTuple):
    """Description of a model whose type other libraries have too.

    Attributes:
        model_type: one of `TYPES`.
        weights: tensors under Hugging Face's names; for an LSTM under torch's.
        hyperparameters: those that do not follow from weight shapes; always with `dropout`, the
            rate in training.
    """

    model_type: str
    weights: dict[str, np.ndarray]
    hyperparameters: Hyperparameters


class Kind(NamedTuple):
    """How to describe a type of model.

    Attributes:
        family: names of its weights.
        read: objective and batch -> hyperparameters specific to the type.
    """

    family: Family
    read: Callable[[Any, Batch], Hyperparameters]


def twin_spec(objective: Any, batch: Batch) -> TwinSpec:
    """Returns the description of a built objective's model.

    Args:
        objective: an objective whose model is of a type in `TYPES`.
        batch: the batch that is measured.

    Raises:
        UserError: no other library has this architecture.
    """
    weights = {_path(w.path): np.asarray(w.value) for w in objective.trainable_variables}
    model_type, tensors = _named(weights)
    rates = {x.rate for x in _all(objective, Dropout)}
    hyperparameters = TYPES[model_type].read(objective, batch)
    return TwinSpec(model_type, tensors, {"dropout": max(rates, default=0.0), **hyperparameters})


def heads(model: Any) -> Hyperparameters:
    """Returns the number of attention heads and their width."""
    options = _first(model, "options").options
    return {"num_heads": options.num_heads, "head_dim": options.head_dim}


def stacked(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the heads, and the number of layers of each stack."""
    del batch
    model = objective.model
    return {**heads(model), "num_layers": len(_all(model.decoder, SelfAttention))}


def encoding(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the heads and the number of layers of an encoder."""
    del batch
    model = objective.model
    return {**heads(model), "num_layers": len(_all(model, (SelfAttention, TwoStreamAttention)))}


def sparse(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the layers of each stack, how many are sparse, and the router's settings."""
    sides = ("encoder", "decoder")
    lengths = {side: batch[f"{side}_input_tokens"].shape[1] for side in sides}
    mixtures = _all(objective.model.decoder, MixtureOfExperts)
    one = mixtures[0]
    return {
        **stacked(objective, batch),
        "num_sparse_layers": len(mixtures),
        "num_experts": one.router.num_experts,
        "capacity": {side: one.capacity(n) for side, n in lengths.items()},
        "jitter": one.router.gate.jitter.width,
        "balance_loss": one.router.balance_loss,
        "z_loss": one.router.gate.z_loss,
    }


def shortening(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the heads, and the number of layers of each block and of the decoder."""
    del batch
    model = objective.model
    return {
        **heads(model),
        "block_sizes": [len(block) for block in model.encoder.blocks],
        "block_repeats": list(model.encoder.repeats),
        "num_decoder_layers": len(model.encoder.decoder),
    }


def replacing(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the heads and layers of both encoders, and the settings of the loss."""
    return {
        **encoding(objective, batch),
        "generator_heads": heads(objective.generator)["num_heads"],
        "max_predictions": objective.max_predictions,
        "discriminator_weight": objective.discriminator_weight,
    }


def recurring(objective: Any, batch: Batch) -> Hyperparameters:
    """Returns the number of LSTM layers and the forget bias."""
    del batch
    cells = _all(objective.model, LSTM)
    return {"num_layers": len(cells), "forget_bias": cells[0].forget_bias}


def _renamed(rules: Iterable[Rule], ours: str, theirs: Callable[[str], str]) -> Iterator[Rule]:
    """Yields the rules of an encoder called `ours` here, with `theirs` applied to their names."""
    for rule in rules:
        paths = tuple(path.replace("encoder/", f"{ours}/", 1) for path in rule.ours)
        yield rule._replace(theirs=theirs(rule.theirs), ours=paths)


def _alone(*rules: Rule) -> Family:
    """A family whose weights are never read from files."""
    return Family(rules=rules, prefix="", copies={}, unused=())


# Funnel with BERT's masked-token head, since its own is only the embedding table and a bias.
FUNNEL_MASKED = _alone(
    *FUNNEL.rules,
    *_renamed(TOKENS, "funnel", lambda name: name.replace("cls.predictions", "lm_head")),
)
CELL = "decoder_only/decoder/layer_{i}_0/branch_recurrent/cell"


TYPES = {
    "gpt2": Kind(GPT2, stacked),
    "t5": Kind(T5, stacked),
    "t5_1_1": Kind(T5_1_1, stacked),
    "switch": Kind(SWITCH, sparse),
    "funnel_masked": Kind(FUNNEL_MASKED, shortening),
    "bert_masked": Kind(BERT_MASKED, encoding),
    "xlnet_permutation": Kind(XLNET, encoding),
    "electra": Kind(
        _alone(
            *_renamed(ELECTRA.rules, "encoder", "discriminator.{}".format),
            *_renamed(ELECTRA_GENERATOR.rules, "generator", "generator.{}".format),
        ),
        replacing,
    ),
    # A language model built on torch's LSTM, whose gates are in another order.
    "lstm": Kind(
        _alone(
            same("embedding.weight", "decoder_only/embedding/embeddings"),
            linear("lstm.weight_ih_l{i}", f"{CELL}/inputs/kernel"),
            same("lstm.bias_ih_l{i}", f"{CELL}/inputs/bias"),
            linear("lstm.weight_hh_l{i}", f"{CELL}/recurrent/kernel"),
        ),
        recurring,
    ),
}


def _named(ours: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the first type with a name for every variable, and the weights under its names."""
    for model_type, kind in TYPES.items():
        try:
            return model_type, theirs(kind.family, ours)
        except (KeyError, UserError):
            continue
    raise UserError(f"--against compares {', '.join(TYPES)}; this model is composed otherwise")


def _path(path: str) -> str:
    """Removes the part of a path before the model's own name."""
    names = ("decoder_only/", "encoder_decoder/", "funnel/", "xl_net/", "generator/", "encoder/")
    starts = [path.find(name) for name in names if name in path]
    return path[min(starts) :] if starts else path


def _all(layer: Any, kind: type | tuple[type, ...]) -> list[Any]:
    """Returns the sublayers of a kind, in order."""
    return [x for x in layer._flatten_layers() if isinstance(x, kind)]


def _first(layer: Any, attribute: str) -> Any:
    """Returns the first sublayer that has an attribute."""
    return next(x for x in layer._flatten_layers() if hasattr(x, attribute))
