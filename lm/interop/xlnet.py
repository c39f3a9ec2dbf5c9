"""Hugging Face's names for XLNet, with or without one of its heads."""

from typing import Any

import numpy as np

from lm.interop.config_json import (
    COUNT,
    FUNCTION,
    LAYERS,
    NUMBER,
    RATE,
    SIZE,
    Format,
    Setting,
    Variant,
)
from lm.interop.purposes import LABELS, PERMUTED, joined_by
from lm.interop.renaming import Family, Tensors, dense, linear, norm, same

WORDS = "transformer.word_embedding.weight"
LAYER, BRANCH = "transformer.layer.{i}", "xl_net/stack/layer_{i}"
THEIRS, OURS = f"{LAYER}.rel_attn", f"{BRANCH}_0/two_stream_attention"
PROJECTIONS = (".rel_attn.q", ".rel_attn.k", ".rel_attn.v", ".rel_attn.o")
HEADS, TYPES, QUERY = ".rel_attn.r_w_bias", ".rel_attn.seg_embed", "mask_emb"

XLNET = Family(
    rules=(
        same(WORDS, "xl_net/embedding/embeddings"),
        same(f"transformer.{QUERY}", "xl_net/stack/query_embedding"),
        same(f"{THEIRS}.q", f"{OURS}/heads/query/kernel"),
        same(f"{THEIRS}.k", f"{OURS}/heads/key/kernel"),
        same(f"{THEIRS}.v", f"{OURS}/heads/value/kernel"),
        linear(f"{THEIRS}.o", f"{OURS}/heads/output/kernel"),
        same(f"{THEIRS}.r", f"{OURS}/distance_kernel"),
        same(f"{THEIRS}.r_w_bias", f"{OURS}/content_bias"),
        same(f"{THEIRS}.r_r_bias", f"{OURS}/distance_bias"),
        same(f"{THEIRS}.r_s_bias", f"{OURS}/type_bias"),
        same(f"{THEIRS}.seg_embed", f"{OURS}/type_embeddings"),
        *norm(f"{THEIRS}.layer_norm", f"{BRANCH}_0/close_layer_norm"),
        *dense(f"{LAYER}.ff.layer_1", f"{BRANCH}_1/feed_forward/hidden"),
        *dense(f"{LAYER}.ff.layer_2", f"{BRANCH}_1/feed_forward/output"),
        *norm(f"{LAYER}.ff.layer_norm", f"{BRANCH}_1/close_layer_norm"),
        same("lm_loss.bias", "xl_net/head/bias"),
        *dense("sequence_summary.summary", "xl_net/head/layer_hidden/dense"),
        *dense("logits_proj", "xl_net/head/scores"),
    ),
    prefix="transformer.",
    copies={"lm_loss.weight": WORDS},
    unused=(),
)


def join_heads(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors with projections [D, H, K] reshaped to matrices [D, H·K].

    The mask embedding of predicted positions, [1, 1, D], becomes [D], and of a layer's two segment
    embeddings the one for different segments comes first.
    """
    joined = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith(PROJECTIONS):
            joined[name] = tensor.reshape(len(tensor), -1)
        elif name.endswith(TYPES):
            joined[name] = tensor[::-1]
        elif name.endswith(QUERY):
            joined[name] = tensor.reshape(-1)
    return joined


def split_heads(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors in XLNet's shapes; the inverse of `join_heads`."""
    split = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith(PROJECTIONS):
            heads = tensors[name[: name.rindex(".rel_attn")] + HEADS].shape  # (H, K)
            split[name] = tensor.reshape(-1, *heads)
        elif name.endswith(TYPES):
            split[name] = tensor[::-1]
        elif name.endswith(QUERY):
            split[name] = tensor.reshape(1, 1, -1)
    return split


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with 0 where the memory length is missing."""
    return {**config, "mem_len": config.get("mem_len", 512) or 0}


FILES = ("models/xlnet/architecture.gin",)
FORMAT = Format(
    settings=(
        Setting("vocab_size", 32000, SIZE, ("VOCABULARY_SIZE",)),
        Setting("d_model", 1024, SIZE, ("HIDDEN_DIM",)),
        Setting("n_layer", 24, LAYERS, ("NUM_LAYERS",)),
        Setting("n_head", 16, SIZE, ("NUM_HEADS",)),
        Setting("d_inner", 4096, SIZE, ("INTERMEDIATE_DIM",)),
        Setting("mem_len", 512, COUNT, ("MEMORY_LENGTH",)),
        Setting("dropout", 0.1, RATE, ("DROPOUT_RATE",)),
        Setting("layer_norm_eps", 1e-12, NUMBER, ("lm.nn.norm.LayerNorm.epsilon",)),
        Setting("ff_activation", "gelu", FUNCTION, ("lm.nn.feedforward.FeedForward.activation",)),
    ),
    fixed={
        "untie_r": True,
        "attn_type": "bi",
        "bi_data": False,
        "clamp_len": -1,
        "same_length": False,
        "summary_type": "last",
        "summary_activation": "tanh",
        "summary_use_proj": True,
    },
    variants=(
        Variant("XLNetLMHeadModel", XLNET, (*FILES, "models/xlnet/permutation.gin"), PERMUTED),
        Variant("XLNetModel", XLNET, FILES),
        Variant(
            "XLNetForSequenceClassification",
            XLNET,
            (*FILES, "models/xlnet/classifier.gin"),
            joined_by(LABELS, "join_cls_last"),
        ),
    ),
    length=512,
    normal=normal,
)
