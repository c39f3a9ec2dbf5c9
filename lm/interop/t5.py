"""Hugging Face's names for T5 1.0 and 1.1."""

from collections.abc import Iterator
from typing import Any

from lm.config.syntax import Reference
from lm.interop.config_json import LAYERS, NUMBER, RATE, SIZE, Format, Setting, Variant
from lm.interop.purposes import ANSWER
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
    """T5, given the names of its feed-forward kernels and of its head if that is not tied."""
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
        # The first releases contain this unused tensor.
        unused=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    )


LOGITS = "encoder_decoder/head/kernel"
T5 = t5(PLAIN)
T5_1_1 = t5(GATED, linear("lm_head.weight", LOGITS))


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with the decoder's layers, and with whether logits are scaled.

    Before transformers 5 an untied head implied that they are not; since then a key says so.
    """
    layers = config.get("num_decoder_layers")
    scales = config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
    own = config.get("num_layers", 6) if layers is None else layers
    said = {"feed_forward_proj": "relu", **config}
    return {**said, "num_decoder_layers": own, "scale_decoder_outputs": scales}


def written(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with the older keys, which every version reads."""
    scales = config.pop("scale_decoder_outputs")
    return {**config, "tie_word_embeddings": scales}


HEAD, EXPONENT = (
    "lm.models.encoder_decoder.EncoderDecoder.head",
    "lm.nn.heads.TiedLogits.scale_exponent",
)
TIED = Reference("", "lm.nn.heads.TiedLogits", is_call=False)
UNTIED = Reference("", "lm.nn.heads.Logits", is_call=False)


def variants(names: dict[str, str], files: tuple[str, ...], activation: str) -> Iterator[Variant]:
    """The three kinds of output logits: from a table of their own, the shared one, or it scaled."""
    same_words = {"feed_forward_proj": activation}
    plain, scaled = ({**same_words, "scale_decoder_outputs": scales} for scales in (False, True))
    base = Variant("T5ForConditionalGeneration", t5(names), files, ANSWER)
    own = t5(names, linear("lm_head.weight", LOGITS))
    yield base._replace(family=own, when=plain, head=LOGITS, bindings={HEAD: UNTIED})
    yield base._replace(when=plain, bindings={HEAD: TIED, EXPONENT: 0.0})
    yield base._replace(when=scaled, bindings={HEAD: TIED, EXPONENT: -0.5})


DECODER = "decoder/lm.nn.stack.Stack.num_layers"
SIZES_OF_ALL = (
    Setting("vocab_size", 32128, SIZE, ("VOCABULARY_SIZE",)),
    Setting("d_model", 512, SIZE, ("HIDDEN_DIM",)),
    Setting("d_kv", 64, SIZE, ("HEAD_DIM",)),
    Setting("d_ff", 2048, SIZE, ("INTERMEDIATE_DIM",)),
    Setting("num_heads", 8, SIZE, ("NUM_HEADS",)),
    Setting(
        "relative_attention_num_buckets", 32, SIZE, ("lm.nn.relative.RelativeBias.num_buckets",)
    ),
    Setting(
        "relative_attention_max_distance", 128, SIZE, ("lm.nn.relative.RelativeBias.max_distance",)
    ),
    Setting("dropout_rate", 0.1, RATE, ("DROPOUT_RATE",)),
    Setting("layer_norm_epsilon", 1e-6, NUMBER, ("lm.nn.norm.RMSNorm.epsilon",)),
)
FORMAT = Format(
    settings=(
        *SIZES_OF_ALL,
        Setting("num_layers", 6, LAYERS, ("NUM_LAYERS",)),
        Setting("num_decoder_layers", 6, LAYERS, (DECODER,), "NUM_LAYERS"),
    ),
    fixed={"decoder_start_token_id": 0},
    variants=(
        *variants(PLAIN, ("models/t5/architecture.gin",), "relu"),
        *variants(GATED, ("models/t5_1_1/architecture.gin",), "gated-gelu"),
    ),
    length=512,
    normal=normal,
    written=written,
)
