"""Names of Hugging Face's T5, 1.0 and 1.1."""

from collections.abc import Iterator

from lm.interop.renaming import Family, Rule, linear, same

SHARED = "shared.weight"
LETTERS = {"q": "query", "k": "key", "v": "value", "o": "output"}
PLAIN = {"wi": "feed_forward/hidden", "wo": "feed_forward/output"}
GATED = {
    "wi_0": "gated_feed_forward/gate",
    "wi_1": "gated_feed_forward/hidden",
    "wo": "gated_feed_forward/output",
}


def side(name: str, branches: dict[str, dict[str, str]]) -> Iterator[Rule]:
    """The rules of one stack: its branches in order, each with its matrices."""
    ours = f"encoder_decoder/{name}"
    for index, (branch, matrices) in enumerate(branches.items()):
        theirs, layer = f"{name}.block.{{i}}.layer.{index}", f"{ours}/layer_{{i}}_{index}"
        yield same(f"{theirs}.layer_norm.weight", f"{layer}/before_rms_norm/scale")
        for letter, matrix in matrices.items():
            yield linear(f"{theirs}.{branch}.{letter}.weight", f"{layer}/{matrix}/kernel")
    bias = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    yield same(bias, f"{ours}/relative_bias/embeddings")
    yield same(f"{name}.final_layer_norm.weight", f"{ours}/after_rms_norm/scale")


def t5(feed_forward: dict[str, str], *head: Rule) -> Family:
    """T5 with the names of its feed-forward kernels, and of its head where it is not tied."""
    own = {letter: f"self_attention/heads/{name}" for letter, name in LETTERS.items()}
    cross = {letter: f"cross_attention/heads/{name}" for letter, name in LETTERS.items()}
    encoder = {"SelfAttention": own, "DenseReluDense": feed_forward}
    decoder = {"SelfAttention": own, "EncDecAttention": cross, "DenseReluDense": feed_forward}
    tables = ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    return Family(
        rules=(
            same(SHARED, "encoder_decoder/embedding/embeddings"),
            *side("encoder", encoder),
            *side("decoder", decoder),
            *head,
        ),
        prefix="",
        copies=dict.fromkeys(tables, SHARED),
        # The first releases have this unused tensor.
        unused=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    )


T5 = t5(PLAIN)
T5_1_1 = t5(GATED, linear("lm_head.weight", "encoder_decoder/head/kernel"))
