"""Names of Hugging Face's Switch Transformers: a tensor for each expert, a number for each layer.

Here the experts of a layer are one tensor, and a dense and a sparse layer share a number.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from lm.interop.renaming import Family, Rule, Tensors, linear, same
from lm.interop.t5 import LETTERS, SHARED

MAX_PAIRS = 32
EXPERT = re.compile(r"(.*\.experts)\.expert_(\d+)\.(.*)")
BRANCHES = {
    "encoder": {"SelfAttention": "self_attention"},
    "decoder": {"SelfAttention": "self_attention", "EncDecAttention": "cross_attention"},
}


def stack_experts(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors with the experts of a layer stacked under one name.

    >>> experts = {f"a.experts.expert_{i}.wi": np.ones(2) for i in range(2)}
    >>> sorted(stack_experts({**experts, "b": np.ones(1)}))
    ['a.experts.wi', 'b']
    """
    others: dict[str, np.ndarray] = {}
    experts: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    for name, tensor in tensors.items():
        if found := EXPERT.fullmatch(name):
            experts[f"{found[1]}.{found[3]}"][int(found[2])] = tensor
        else:
            others[name] = tensor
    return others | {n: np.stack([t[i] for i in sorted(t)]) for n, t in experts.items()}


def split_experts(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors with a name for each expert; the inverse."""
    found: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        before, experts, after = name.partition(".experts.")
        numbered = {f"{before}{experts}expert_{i}.{after}": t for i, t in enumerate(tensor)}
        found |= numbered if experts else {name: tensor}
    return found


def side(name: str) -> Iterator[Rule]:
    """The rules of one stack."""
    bias = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    yield same(bias, f"encoder_decoder/{name}/relative_bias/embeddings")
    yield same(f"{name}.final_layer_norm.weight", f"encoder_decoder/{name}/after_rms_norm/scale")
    for pair in range(MAX_PAIRS):
        for half, rules in enumerate((dense, sparse)):
            first = half * (len(BRANCHES[name]) + 1)
            block, layer = f"{name}.block.{2 * pair + half}.layer", f"layer_{pair}"
            for index, (theirs, branch) in enumerate(BRANCHES[name].items()):
                ours = f"encoder_decoder/{name}/{layer}_{first + index}"
                yield same(f"{block}.{index}.layer_norm.weight", f"{ours}/before_rms_norm/scale")
                for letter, matrix in LETTERS.items():
                    path = f"{ours}/{branch}/heads/{matrix}/kernel"
                    yield linear(f"{block}.{index}.{theirs}.{letter}.weight", path)
            index = len(BRANCHES[name])
            ours = f"encoder_decoder/{name}/{layer}_{first + index}"
            yield same(f"{block}.{index}.layer_norm.weight", f"{ours}/before_rms_norm/scale")
            yield from rules(f"{block}.{index}.mlp", ours)


def dense(theirs: str, ours: str) -> Iterator[Rule]:
    """The rules of a feed-forward."""
    yield linear(f"{theirs}.wi.weight", f"{ours}/feed_forward/hidden/kernel")
    yield linear(f"{theirs}.wo.weight", f"{ours}/feed_forward/output/kernel")


def sparse(theirs: str, ours: str) -> Iterator[Rule]:
    """The rules of a mixture of experts; there the kernels are [E, out, in] once stacked."""
    ours = f"{ours}/mixture_of_experts"
    yield linear(f"{theirs}.router.classifier.weight", f"{ours}/router/scores/kernel")
    yield Rule(f"{theirs}.experts.wi.weight", (f"{ours}/experts/hidden/kernel",), (0, 2, 1))
    yield Rule(f"{theirs}.experts.wo.weight", (f"{ours}/experts/output/kernel",), (0, 2, 1))


SWITCH = Family(
    rules=(
        same(SHARED, "encoder_decoder/embedding/embeddings"),
        *side("encoder"),
        *side("decoder"),
    ),
    prefix="",
    copies=dict.fromkeys(
        ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), SHARED
    ),
    unused=(),
)
