"""Hugging Face's names for Funnel-Transformer, with or without its decoder and heads."""

from collections.abc import Iterator
from typing import Any

from lm.config.syntax import Reference
from lm.interop.config_json import (
    FUNCTION,
    LAYERS,
    NUMBER,
    OPTIONAL,
    RATE,
    SIZE,
    SIZES,
    Format,
    Kind,
    Setting,
    Variant,
)
from lm.interop.purposes import LABELS, MASKED, joined_by
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
    """The rules of all layers, which are numbered by block and by layer within the block."""
    for block in range(MAX_BLOCKS):
        theirs = f"funnel.encoder.blocks.{block}.{{i}}"
        yield from layer(theirs, f"funnel/stack/layer_{block}_{{i}}")
    yield from layer("funnel.decoder.layers.{i}", "funnel/stack/layer_decoder_{i}")


HEADS = (
    "lm_head.bias",
    *(f"discriminator_predictions.{part}.{kind}" for part in PARTS for kind in KINDS),
)
REPLACED = (
    *dense("discriminator_predictions.dense", "funnel/head/layer_hidden/dense"),
    *dense("discriminator_predictions.dense_prediction", "funnel/head/scores"),
)
LABELLED = (
    *dense("classifier.linear_hidden", "funnel/head/layer_hidden/dense"),
    *dense("classifier.linear_out", "funnel/head/scores"),
)


def funnel(*head: Rule) -> Family:
    """Funnel with one head; tensors of other heads are ignored."""
    own = {rule.theirs for rule in head}
    return Family(
        rules=(
            same(
                "funnel.embeddings.word_embeddings.weight", "funnel/embedder/embedding/embeddings"
            ),
            *norm("funnel.embeddings.layer_norm", "funnel/embedder/after_layer_norm"),
            *blocks(),
            *head,
        ),
        prefix="funnel.",
        copies={"lm_head.weight": "funnel.embeddings.word_embeddings.weight"},
        unused=tuple(name for name in HEADS if name not in own),
    )


FUNNEL = funnel()
FUNNEL_MASKED = funnel(same("lm_head.bias", "funnel/head/bias"))
FUNNEL_REPLACED = funnel(*REPLACED)
FUNNEL_CLASSIFIER = funnel(*LABELLED)


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with a number of repeats for every block."""
    sizes = config.get("block_sizes", [4, 4, 4])
    repeats = config.get("block_repeats")
    once = [1] * len(sizes) if isinstance(sizes, list) else repeats
    return {**config, "block_repeats": once if repeats is None else repeats}


def written(config: dict[str, Any]) -> dict[str, Any]:
    """Returns `config.json` with the width of a head and the number of repeats."""
    width = config["d_head"] or config["d_model"] // config["n_head"]
    # transformers zeroes the embedding of a padding token, and its tied logit with it.
    return normal({**config, "d_head": width, "pad_token_id": None})


DISTANCES = {"relative_shift": "shifted", "factorized": "factorised"}
DISTANCE = Kind(
    " or ".join(DISTANCES),
    lambda x: isinstance(x, str) and x in DISTANCES,
    lambda x: Reference("", f"lm.nn.funnel_attention.{DISTANCES[x]}", is_call=False),
    lambda x: next(k for k, name in DISTANCES.items() if x.target.endswith(f".{name}")),
)
DECODER_LAYERS = Kind(f"0, or {LAYERS.what}", lambda x: x == 0 or LAYERS.fits(x))
REPEATS = Kind(SIZES.what, lambda x: x is None or SIZES.fits(x))
FILES = ("models/funnel/architecture.gin",)
HIDDEN = Setting("hidden_act", "gelu_new", FUNCTION, ("lm.nn.label_head.Hidden.activation",))
TIED = {"lm.models.funnel.Funnel.head": Reference("", "lm.nn.heads.BiasedLogits", is_call=False)}
NO_DECODER = {"NUM_DECODER_LAYERS": 0}
ATTENTION, FEED_FORWARD = (
    "lm.nn.funnel_attention.RelativeAttention",
    "lm.nn.feedforward.FeedForward",
)
FORMAT = Format(
    settings=(
        Setting("vocab_size", 30522, SIZE, ("VOCABULARY_SIZE",)),
        Setting("block_sizes", [4, 4, 4], SIZES, ("BLOCK_SIZES",)),
        Setting("block_repeats", None, REPEATS, ("BLOCK_REPEATS",)),
        Setting("num_decoder_layers", 2, DECODER_LAYERS, ("NUM_DECODER_LAYERS",)),
        Setting("d_model", 768, SIZE, ("HIDDEN_DIM",)),
        Setting("n_head", 12, SIZE, ("NUM_HEADS",)),
        Setting("d_head", 64, OPTIONAL, ("HEAD_DIM",)),
        Setting("d_inner", 3072, SIZE, ("INTERMEDIATE_DIM",)),
        Setting("hidden_dropout", 0.1, RATE, ("DROPOUT_RATE",)),
        Setting("attention_dropout", 0.1, RATE, (f"{ATTENTION}.dropout",)),
        Setting("activation_dropout", 0.0, RATE, (f"{FEED_FORWARD}.dropout",)),
        Setting("layer_norm_eps", 1e-9, NUMBER, ("lm.nn.norm.LayerNorm.epsilon",)),
        Setting("hidden_act", "gelu_new", FUNCTION, (f"{FEED_FORWARD}.activation",)),
        Setting("attention_type", "relative_shift", DISTANCE, (f"{ATTENTION}.distance",)),
    ),
    fixed={
        "pooling_type": "mean",
        "separate_cls": True,
        "truncate_seq": True,
        "pool_q_only": True,
    },
    variants=(
        Variant(
            "FunnelForPreTraining",
            FUNNEL_REPLACED,
            (*FILES, "models/funnel/replaced_tokens.gin"),
            settings=(HIDDEN,),
        ),
        Variant("FunnelForMaskedLM", FUNNEL_MASKED, FILES, MASKED, bindings=TIED),
        Variant("FunnelBaseModel", FUNNEL, FILES, bindings=NO_DECODER),
        Variant("FunnelModel", FUNNEL, FILES),
        Variant(
            "FunnelForSequenceClassification",
            FUNNEL_CLASSIFIER,
            (*FILES, "models/funnel/classifier.gin"),
            joined_by(LABELS, "join_typed_cls"),
            bindings=NO_DECODER,
        ),
    ),
    length=512,
    normal=normal,
    written=written,
)
