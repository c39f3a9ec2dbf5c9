"""Conversion of weights from and to Hugging Face's names, as NumPy arrays, without torch."""

import numpy as np

from lm.interop import bert, electra, funnel, gpt2, switch, t5, xlnet
from lm.interop.renaming import Family, Tensors, to_ours, to_theirs
from lm.interop.switch import split_experts, stack_experts
from lm.interop.xlnet import join_heads, split_heads

FORMATS = {
    "bert": bert.FORMAT,
    "electra": electra.FORMAT,
    "funnel": funnel.FORMAT,
    "gpt2": gpt2.FORMAT,
    "switch_transformers": switch.FORMAT,
    "t5": t5.FORMAT,
    "xlnet": xlnet.FORMAT,
}


def ours(family: Family, tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns Hugging Face's tensors under our paths, by the table of a family.

    Raises:
        UserError: a tensor has no corresponding variable.

    Example:
        >>> ours(gpt2.GPT2, {"h.3.ln_1.weight": np.ones(2, "float32")})
        {'decoder_only/decoder/layer_3_0/before_layer_norm/scale': array([1., 1.], dtype=float32)}
    """
    return to_ours(family, join_heads(stack_experts(tensors)))


def theirs(family: Family, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our variables under Hugging Face's names; the inverse of `ours`."""
    return split_heads(split_experts(to_theirs(family, weights)))
