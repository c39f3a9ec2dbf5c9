"""Conversion of weights from and to Hugging Face's names, as NumPy arrays, without torch."""

import numpy as np

from lm.errors import UserError
from lm.interop import bert, electra, funnel, gpt2, switch, t5, xlnet
from lm.interop.bert import BERT, BERT_CLASSIFIER, BERT_MASKED, BERT_SPANS, BERT_TOKENS
from lm.interop.electra import ELECTRA, ELECTRA_GENERATOR
from lm.interop.funnel import FUNNEL
from lm.interop.gpt2 import GPT2
from lm.interop.renaming import Family, Tensors, to_ours, to_theirs
from lm.interop.switch import SWITCH, split_experts, stack_experts
from lm.interop.t5 import T5, T5_1_1
from lm.interop.xlnet import XLNET, join_heads, split_heads

FAMILIES = {
    "bert": BERT,
    "bert_classifier": BERT_CLASSIFIER,
    "bert_masked": BERT_MASKED,
    "bert_spans": BERT_SPANS,
    "bert_tokens": BERT_TOKENS,
    "electra": ELECTRA,
    "electra_generator": ELECTRA_GENERATOR,
    "funnel": FUNNEL,
    "funnel_base": FUNNEL,
    "gpt2": GPT2,
    "switch": SWITCH,
    "t5": T5,
    "t5_1_1": T5_1_1,
    "xlnet": XLNET,
    "xlnet_classifier": XLNET,
    "xlnet_permutation": XLNET,
}

FORMATS = {
    "bert": bert.FORMAT,
    "electra": electra.FORMAT,
    "funnel": funnel.FORMAT,
    "gpt2": gpt2.FORMAT,
    "switch_transformers": switch.FORMAT,
    "t5": t5.FORMAT,
    "xlnet": xlnet.FORMAT,
}


def weights_from(model_type: str, state_dict: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors of a checkpoint under our variable paths.

    Args:
        model_type: "gpt2", "t5", "t5_1_1", "bert" (with pooler), "bert_masked" (token head),
            "bert_classifier" (rows, and multiple choice), "bert_tokens", "bert_spans" (labels),
            "electra" (discriminator), "electra_generator", "funnel", "funnel_base" (without its
            decoder), "switch", "xlnet", "xlnet_permutation" (with its head), "xlnet_classifier".
        state_dict: tensors by name, as in a safetensors file.

    Raises:
        UserError: the type is unknown, or a tensor has no corresponding variable.

    Example:
        >>> weights_from("gpt2", {"h.3.ln_1.weight": np.ones(2, "float32")})
        {'decoder_only/decoder/layer_3_0/before_layer_norm/scale': array([1., 1.], dtype=float32)}
    """
    return ours(family(model_type), state_dict)


def weights_to(model_type: str, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our variables under Hugging Face's names; the inverse of `weights_from`."""
    return theirs(family(model_type), weights)


def ours(family: Family, tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns Hugging Face's tensors under our paths, by the table of a family."""
    return to_ours(family, join_heads(stack_experts(tensors)))


def theirs(family: Family, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our variables under Hugging Face's names, by the table of a family."""
    return split_heads(split_experts(to_theirs(family, weights)))


def family(model_type: str) -> Family:
    """Returns the table of names of a model type."""
    if model_type not in FAMILIES:
        raise UserError(f"unknown model type {model_type!r}: known are {', '.join(FAMILIES)}")
    return FAMILIES[model_type]
