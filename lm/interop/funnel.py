"""Names of Hugging Face's Funnel-Transformer, with or without its decoder, without a head."""

from collections.abc import Iterator

from lm.interop.renaming import Family, Rule, dense, linear, norm, same

MAX_BLOCKS = 8
PARTS, KINDS = ("dense", "dense_prediction"), ("weight", "bias")
OWN = {
    "r_w_bias": "content_bias",
    "r_r_bias": "distance_bias",
    "r_s_bias": "type_bias",
    "r_kernel": "distance_kernel",
    "seg_embed": "type_embeddings",
}


def layer(theirs: str, ours: str) -> Iterator[Rule]:
    """The rules of one layer: attention, then feed-forward."""
    attention = f"{ours}_0/relative_attention"
    yield linear(f"{theirs}.attention.q_head.weight", f"{attention}/query/kernel")
    yield from dense(f"{theirs}.attention.k_head", f"{attention}/key")
    yield from dense(f"{theirs}.attention.v_head", f"{attention}/value")
    yield from dense(f"{theirs}.attention.post_proj", f"{attention}/output")
    for name, own in OWN.items():
        yield same(f"{theirs}.attention.{name}", f"{attention}/{own}")
    yield from norm(f"{theirs}.attention.layer_norm", f"{ours}_0/close_layer_norm")
    yield from dense(f"{theirs}.ffn.linear_1", f"{ours}_1/feed_forward/hidden")
    yield from dense(f"{theirs}.ffn.linear_2", f"{ours}_1/feed_forward/output")
    yield from norm(f"{theirs}.ffn.layer_norm", f"{ours}_1/close_layer_norm")


def blocks() -> Iterator[Rule]:
    """The rules of all layers; a block has one number and a layer in it another."""
    for block in range(MAX_BLOCKS):
        theirs = f"funnel.encoder.blocks.{block}.{{i}}"
        yield from layer(theirs, f"funnel/stack/layer_{block}_{{i}}")
    yield from layer("funnel.decoder.layers.{i}", "funnel/stack/layer_decoder_{i}")


FUNNEL = Family(
    rules=(
        same("funnel.embeddings.word_embeddings.weight", "funnel/embedder/embedding/embeddings"),
        *norm("funnel.embeddings.layer_norm", "funnel/embedder/after_layer_norm"),
        *blocks(),
    ),
    prefix="funnel.",
    copies={"lm_head.weight": "funnel.embeddings.word_embeddings.weight"},
    # The heads of pretraining, which are not ours.
    unused=(
        "lm_head.bias",
        *(f"discriminator_predictions.{part}.{kind}" for part in PARTS for kind in KINDS),
    ),
)
