"""Hugging Face's names for Switch Transformers, with one tensor per expert.

Here the experts of a layer are one tensor, and a dense and a sparse layer share a number.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from lm.errors import UserError
from lm.interop.config_json import FUNCTION, LAYERS, NUMBER, RATE, SIZE, Format, Setting, Variant
from lm.interop.purposes import ANSWER
from lm.interop.renaming import Family, Rule, Tensors, linear, same
from lm.interop.t5 import DECODER, LETTERS, SHARED, SIZES_OF_ALL

MAX_PAIRS = 32
EXPERT = re.compile(r"(.*\.experts)\.expert_(\d+)\.(.*)")
BRANCHES = {
    "encoder": {"SelfAttention": "self_attention"},
    "decoder": {"SelfAttention": "self_attention", "EncDecAttention": "cross_attention"},
}


def stack_experts(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors with the experts of each layer stacked under one name.

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
    """Returns the tensors with one name per expert; the inverse of `stack_experts`."""
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
    """The rules of a mixture of experts; the stacked kernels are [E, out, in]."""
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


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with layers counted in pairs of a dense and a sparse one.

    Raises:
        UserError: the sparse layers are not every second one.
    """
    found = dict(config)
    for side, layers in (("encoder", "num_layers"), ("decoder", "num_decoder_layers")):
        number, sparse_layers = config.get(layers, 12), config.get(f"num_sparse_{side}_layers", 3)
        if number is None:
            number = config.get("num_layers", 12)
        if not isinstance(number, int) or sparse_layers != number / 2:
            raise UserError(
                f"config.json: num_sparse_{side}_layers = {sparse_layers!r:.40} of {number!r:.40} "
                "layers; only models of which every second layer is sparse are known"
            )
        found[f"{side}_pairs"] = number // 2
    return found


def written(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with layers counted one by one."""
    encoder, decoder = config.pop("encoder_pairs"), config.pop("decoder_pairs")
    return {
        **config,
        "num_layers": 2 * encoder,
        "num_sparse_encoder_layers": encoder,
        "num_decoder_layers": 2 * decoder,
        "num_sparse_decoder_layers": decoder,
    }


FORMAT = Format(
    settings=(
        *SIZES_OF_ALL,
        Setting("encoder_pairs", 6, LAYERS, ("NUM_LAYERS",)),
        Setting("decoder_pairs", 6, LAYERS, (DECODER,), "NUM_LAYERS"),
        Setting("num_experts", 8, SIZE, ("NUM_EXPERTS",)),
        Setting("expert_capacity", 64, SIZE, ("MIN_CAPACITY",)),
        Setting("router_jitter_noise", 0.01, RATE, ("JITTER",)),
        Setting("router_aux_loss_coef", 0.001, NUMBER, ("BALANCE_LOSS",)),
        Setting("router_z_loss_coef", 0.001, NUMBER, ("ROUTER_Z_LOSS",)),
        Setting("dense_act_fn", "relu", FUNCTION, ("lm.nn.feedforward.FeedForward.activation",)),
    ),
    fixed={"router_bias": False, "tie_word_embeddings": True, "decoder_start_token_id": 0},
    variants=(
        Variant(
            "SwitchTransformersForConditionalGeneration",
            SWITCH,
            ("models/switch/architecture.gin",),
            ANSWER,
        ),
    ),
    length=512,
    normal=normal,
    written=written,
)
