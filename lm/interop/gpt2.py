"""Names of Hugging Face's GPT-2; its Conv1D kernels are [in, out] as ours, q, k, v concatenated."""

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
