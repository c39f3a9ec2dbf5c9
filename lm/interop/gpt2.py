"""Hugging Face's names for GPT-2; Conv1D kernels are [in, out] like ours, q, k, v concatenated."""

from typing import Any

from lm.interop.config_json import FUNCTION, LAYERS, NUMBER, RATE, SIZE, Format, Setting, Variant
from lm.interop.purposes import CONTINUATION
from lm.interop.renaming import Family, norm, same

BLOCK, LAYER = "transformer.h.{i}", "decoder_only/decoder/layer_{i}"
ATTENTION = f"{LAYER}_0/self_attention/heads"
FUSED = [f"{ATTENTION}/{name}" for name in ("query", "key", "value")]

GPT2 = Family(
    rules=(
        same("transformer.wte.weight", "decoder_only/embedding/embeddings"),
        same("transformer.wpe.weight", "decoder_only/decoder/learned_position/embeddings"),
        *norm(f"{BLOCK}.ln_1", f"{LAYER}_0/before_layer_norm"),
        same(f"{BLOCK}.attn.c_attn.weight", *(f"{name}/kernel" for name in FUSED)),
        same(f"{BLOCK}.attn.c_attn.bias", *(f"{name}/bias" for name in FUSED)),
        same(f"{BLOCK}.attn.c_proj.weight", f"{ATTENTION}/output/kernel"),
        same(f"{BLOCK}.attn.c_proj.bias", f"{ATTENTION}/output/bias"),
        *norm(f"{BLOCK}.ln_2", f"{LAYER}_1/before_layer_norm"),
        same(f"{BLOCK}.mlp.c_fc.weight", f"{LAYER}_1/feed_forward/hidden/kernel"),
        same(f"{BLOCK}.mlp.c_fc.bias", f"{LAYER}_1/feed_forward/hidden/bias"),
        same(f"{BLOCK}.mlp.c_proj.weight", f"{LAYER}_1/feed_forward/output/kernel"),
        same(f"{BLOCK}.mlp.c_proj.bias", f"{LAYER}_1/feed_forward/output/bias"),
        *norm("transformer.ln_f", "decoder_only/decoder/after_layer_norm"),
    ),
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.wte.weight"},
    unused=(f"{BLOCK}.attn.bias", f"{BLOCK}.attn.masked_bias"),
)


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with the feed-forward width, by default four times the model width."""
    if config.get("n_inner") is None and isinstance(config.get("n_embd"), int):
        return {**config, "n_inner": 4 * config["n_embd"]}
    return config


def written(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with `n_ctx`, the old name of `n_positions`, which llama.cpp reads."""
    return {**config, "n_ctx": config["n_positions"]}


FORMAT = Format(
    settings=(
        Setting("vocab_size", 50257, SIZE, ("VOCABULARY_SIZE",)),
        Setting("n_positions", 1024, SIZE, ("MAX_SEQUENCE_LENGTH",)),
        Setting("n_embd", 768, SIZE, ("HIDDEN_DIM",)),
        Setting("n_inner", 3072, SIZE, ("INTERMEDIATE_DIM",)),
        Setting("n_layer", 12, LAYERS, ("NUM_LAYERS",)),
        Setting("n_head", 12, SIZE, ("NUM_HEADS",)),
        Setting("resid_pdrop", 0.1, RATE, ("DROPOUT_RATE",)),
        Setting("attn_pdrop", 0.1, RATE, ("lm.nn.attention.SelfAttention.dropout",)),
        Setting("layer_norm_epsilon", 1e-5, NUMBER, ("lm.nn.norm.LayerNorm.epsilon",)),
        Setting(
            "activation_function",
            "gelu_new",
            FUNCTION,
            ("lm.nn.feedforward.FeedForward.activation",),
        ),
    ),
    fixed={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    variants=(
        Variant("GPT2LMHeadModel", GPT2, ("models/gpt2/architecture.gin",), CONTINUATION),
        Variant("GPT2Model", GPT2, ("models/gpt2/architecture.gin",), CONTINUATION),
    ),
    length="n_positions",
    normal=normal,
    written=written,
)
