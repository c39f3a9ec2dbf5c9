"""Every public branch, model and objective with a tiny factory: one line buys all properties.

`tests/test_catalogue.py` fails while a public class of `lm.nn`, `lm.models` or `lm.objectives` is
in none of the entries. A property that an entry cannot have is named in `lacks`:
    causal  (branches, models) no position looks ahead
    packed  (branches, models) packed examples can be told apart and change nothing in each other
    steps   (branches, models) `start` and `step`; step by step equals all at once
    padding (branches) more padding changes nothing
    shortened (branches) a stack that shortens its rows admits it

`carry` says of branches and models that have one how two rows are read with it:
    WHOLE   as the one long row
    WINDOWS so too, but attention reads its own row alone
"""

from typing import Any

import pytest
from keras import activations

from lm.models.decoder_only import DecoderOnly
from lm.nn import (
    attention,
    backward,
    convolution,
    dropout,
    embedding,
    evolved,
    feedforward,
    flash,
    funnel_attention,
    gau,
    heads,
    masks,
    moe,
    noisy,
    norm,
    parallel,
    position,
    relative,
    residual,
    routers,
    stack,
    transformer_xl,
    two_stream_attention,
)
from lm.objectives.consistency import Consistency, linear
from lm.objectives.label_sets import LabelSets
from lm.objectives.labels import Labels, classes
from lm.objectives.permutation import Permutation
from lm.objectives.regression import Regression
from lm.objectives.token_prediction import TokenPrediction
from tests.cases import MAX_LENGTH, VOCABULARY_SIZE, WHOLE, WIDTH, WINDOWS, Case, family, part
from tests.recurrent_cases import LONG_ROWS, MIN_GRU, OWN_ROW, RECURRENT_BRANCHES, RECURRENT_MODELS

RMS, LAYER = part(norm.RMSNorm), part(norm.LayerNorm)
DROPOUT = part(dropout.Dropout, rate=0.3)
ROTARY = part(position.RotaryPosition)

SELF = part(attention.SelfAttention, num_heads=2)
ROTARY_SELF = part(attention.SelfAttention, num_heads=2, head_dim=6, use_bias=False, rotary=ROTARY)
RELATIVE = part(funnel_attention.RelativeAttention, num_heads=2, distance=funnel_attention.shifted)
CROSS = part(attention.CrossAttention, num_heads=2)
FEED = part(feedforward.FeedForward, intermediate_dim=24, activation=activations.relu)
GATED = part(feedforward.GatedFeedForward, intermediate_dim=24, activation=activations.silu)
PRE = part(residual.Residual, branch=SELF, before=[RMS], after=[DROPOUT])
SANDWICH = part(residual.Residual, branch=ROTARY_SELF, before=[LAYER], after=[LAYER, DROPOUT])
CLOSED = part(residual.Residual, branch=GATED, after=[DROPOUT], after_add=[LAYER])
CONVOLUTION = part(convolution.CausalConvolution)
TAPPED = part(attention.SelfAttention, num_heads=2, rotary=ROTARY, after_projection=CONVOLUTION)
TOEPLITZ = part(relative.ToeplitzBias, max_sequence_length=MAX_LENGTH)
UNIT = part(gau.GatedUnit, intermediate_dim=24, head_dim=6, rotary=ROTARY)
ROTARY_BIAS = part(relative.RotaryBias, dim=6)
QUADRATIC = part(gau.GatedAttentionUnit, unit=UNIT, max_sequence_length=MAX_LENGTH)
CHUNKS = part(flash.MixedChunkAttention, unit=UNIT, chunk_size=4, mask=masks.causal)


def mixture(router: Any, factor: float | None = None, expert: Any = FEED) -> Any:
    """A mixture of experts; without a factor training drops nothing."""
    return part(
        moe.MixtureOfExperts,
        router=router,
        expert=part(expert, dense=moe.ExpertDense),
        capacity_factor=factor,
        min_capacity=1,
    )


REMEMBERING = part(transformer_xl.MemoryAttention, num_heads=2, memory_length=MAX_LENGTH)

TWO_STREAMS = part(two_stream_attention.TwoStreamAttention, num_heads=2, memory_length=MAX_LENGTH)

SWITCH = part(routers.SwitchRouter, num_experts=4)
TOP_TWO = part(routers.TopTwoRouter, num_experts=4)
TWO_LEVELS = part(noisy.HierarchicalRouter, num_groups=2, experts_per_group=3, k=2)
EXPERT_CHOICE = part(routers.ExpertChoiceRouter, num_experts=4)

BRANCHES = [
    Case("self_attention", SELF),
    Case("rotary_self_attention", ROTARY_SELF),
    Case("cross_attention", CROSS, OWN_ROW),
    Case("relative_attention", RELATIVE, lacks=("steps",)),
    Case("feed_forward", FEED),
    Case("gated_feed_forward", GATED),
    Case("residual_pre", PRE),
    Case("residual_sandwich", SANDWICH),
    Case("residual_post", CLOSED),
    Case("remat", part(residual.Remat, branch=PRE)),
    Case("gau", part(QUADRATIC, kernel=gau.squared_relu_kernel, position_bias=TOEPLITZ), OWN_ROW),
    Case(
        "gau_softmax",
        part(QUADRATIC, kernel=gau.softmax_kernel, position_bias=ROTARY_BIAS),
        OWN_ROW,
    ),
    Case(
        "flash",
        part(CHUNKS, kernel=gau.squared_relu_kernel, position_bias=TOEPLITZ),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case(
        "flash_softmax",
        part(CHUNKS, kernel=gau.softmax_kernel, normalizer=flash.one_chunk),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case(
        "flash_bidirectional",
        part(
            CHUNKS,
            kernel=gau.squared_relu_kernel,
            mask=masks.bidirectional,
            position_bias=ROTARY_BIAS,
        ),
        lacks=("causal", *OWN_ROW),
    ),
    Case("parallel", part(parallel.Parallel, branches=[SELF, CROSS], after=[DROPOUT]), OWN_ROW),
    Case("causal_convolution", CONVOLUTION, carry=WHOLE),
    *RECURRENT_BRANCHES,
    Case("backward", part(backward.Backward, branch=MIN_GRU), ("causal", *OWN_ROW)),
    Case("memory_attention", REMEMBERING, OWN_ROW, carry=WHOLE),
    Case("two_stream_attention", TWO_STREAMS, lacks=("steps", *OWN_ROW), carry=WHOLE),
    Case(
        "remat_memory",
        part(residual.Remat, branch=part(residual.Residual, branch=REMEMBERING, before=[RMS])),
        OWN_ROW,
        carry=WHOLE,
    ),
    Case("convolved_self_attention", TAPPED, carry=WINDOWS),
    Case("gated_linear_unit", part(evolved.GatedLinearUnit)),
    Case("evolved_encoder", part(evolved.EvolvedEncoderConvolution, norm=LAYER), lacks=("causal",)),
    Case("evolved_decoder", part(evolved.EvolvedDecoderConvolution, norm=LAYER), carry=WHOLE),
    Case("switch", mixture(SWITCH)),
    Case("top_two", mixture(TOP_TWO, expert=GATED)),
    Case("noisy_top_k", mixture(part(noisy.NoisyTopKRouter, num_experts=4, k=2))),
    Case("two_levels", mixture(TWO_LEVELS)),
    Case("switch_capacity", mixture(SWITCH, 0.7)),
    Case("expert_choice", mixture(EXPERT_CHOICE, 1.0), lacks=("causal",)),
]

EMBEDDING = part(embedding.TokenEmbedding, vocabulary_size=VOCABULARY_SIZE, hidden_dim=WIDTH)
BIAS = part(relative.RelativeBias, num_heads=2, bidirectional=False)
CAUSAL = part(
    stack.Stack, num_layers=2, layers=[SANDWICH, CLOSED], mask=masks.causal, position_bias=BIAS
)
XLNET = "xlnet/architecture.gin", "xlnet/permutation.gin"
FUNNEL = "funnel/architecture.gin", "funnel/masked.gin"
# Packed rows as papers/funnel/python_docs.gin has them.
THREE_BLOCKS = {"NUM_LAYERS": None, "BLOCK_SIZES": [1, 1, 1], "MAX_SEGMENTS": 4}
ROTARY_MODEL = part(
    DecoderOnly, embedding=EMBEDDING, decoder=CAUSAL, head=part(heads.Logits), name="decoder_only"
)

UNITS = {"NUM_LAYERS": 1, "NUM_HEADS": None, "HEAD_DIM": 6}

ONE_PAIR = {"NUM_LAYERS": 1, "NUM_EXPERTS": 4}

# Models made of what other entries hold already: their properties run in `make test-long`.
VARIANTS = frozenset(
    "rotary t5 evolved_transformer_lm primer_ez_t5 gnmt flash_masked bert_masked st_moe moe"
    " awd_lstm moe_lstm bahdanau linear_gain".split()
)
MODELS = [
    Case("gpt2", family("gpt2/architecture.gin", MAX_SEQUENCE_LENGTH=MAX_LENGTH)),
    Case("rotary", ROTARY_MODEL),
    Case("t5", family("t5/architecture.gin", HEAD_DIM=6)),
    Case("t5_1_1", family("t5_1_1/architecture.gin", HEAD_DIM=6)),
    Case("transformer", family("transformer/architecture.gin")),
    Case("evolved_transformer", family("evolved_transformer/architecture.gin", NUM_LAYERS=1)),
    Case(
        "evolved_transformer_lm",
        family("evolved_transformer_lm/architecture.gin", NUM_LAYERS=1),
        carry=WINDOWS,
    ),
    Case("primer", family("primer/architecture.gin", HEAD_DIM=6, NUM_LAYERS=1), carry=WINDOWS),
    Case("primer_ez_t5", family("primer_ez_t5/architecture.gin", HEAD_DIM=6, NUM_LAYERS=1)),
    Case("gau", family("gau/architecture.gin", MAX_SEQUENCE_LENGTH=MAX_LENGTH, **UNITS)),
    Case("flash", family("flash/architecture.gin", CHUNK_SIZE=4, **UNITS), carry=WHOLE),
    Case(
        "flash_masked",
        family("flash/architecture.gin", "gau/masked.gin", CHUNK_SIZE=4, **UNITS),
        lacks=("causal", "steps"),
    ),
    Case("bert", family("bert/architecture.gin"), lacks=("causal", "steps")),
    Case(
        "bert_classifier",
        family("bert/architecture.gin", "bert/classifier.gin"),
        lacks=("causal", "steps"),
    ),
    Case(
        "bert_masked",
        family("bert/architecture.gin", "bert/masked.gin"),
        lacks=("causal", "steps"),
    ),
    Case(
        "electra",
        family("electra/architecture.gin", EMBEDDING_DIM=8, NUM_LAYERS=1),
        lacks=("causal", "steps"),
    ),
    Case(
        "transformer_xl",
        family("transformer_xl/architecture.gin", HEAD_DIM=6, MEMORY_LENGTH=MAX_LENGTH),
        carry=WHOLE,
    ),
    Case("xlnet", family(*XLNET), lacks=("causal", "steps")),
    Case("funnel", family(*FUNNEL, **THREE_BLOCKS), lacks=("causal", "steps")),
    Case("switch", family("switch/architecture.gin", HEAD_DIM=6, **ONE_PAIR)),
    Case("st_moe", family("st_moe/architecture.gin", HEAD_DIM=6, **ONE_PAIR)),
    Case("moe", family("moe/architecture.gin", MAX_SEQUENCE_LENGTH=MAX_LENGTH, **ONE_PAIR)),
    *RECURRENT_MODELS,
]

OBJECTIVES = [
    Case("token_prediction", part(TokenPrediction, model=ROTARY_MODEL)),
    Case("smoothed", part(TokenPrediction, model=ROTARY_MODEL, label_smoothing=0.1, z_loss=1e-2)),
]

CLASSIFIER = "bert/architecture.gin", "bert/classifier.gin"


def classifier(name: str) -> Any:
    """A model that labels, made as an objective makes its model."""
    del name
    return family(*CLASSIFIER, NUM_LAYERS=1)()


# A generator of two heads, so that a mesh can split them.
PREDICTIONS = {
    "root": "OBJECTIVE",
    "MAX_PREDICTIONS": 4,
    "GENERATOR_FRACTION": 0.5,
    "NUM_HEADS": 4,
}
ELECTRA = "electra/architecture.gin", "../objectives/replaced_token.gin"
ALL_TOKENS = *ELECTRA, "../objectives/all_tokens_mlm.gin"
FUNNEL_ELECTRA = "funnel/architecture.gin", "funnel/replaced_tokens.gin", ELECTRA[1]
NARROW = {"EMBEDDING_DIM": 8, "NUM_LAYERS": 1}
REPLACED_TOKEN = [
    Case("replaced_token", family(*ELECTRA, **PREDICTIONS, **NARROW)),
    Case("all_tokens_mlm", family(*ALL_TOKENS, **PREDICTIONS, **NARROW)),
    Case("funnel_replaced_token", family(*FUNNEL_ELECTRA, **PREDICTIONS, **THREE_BLOCKS)),
]


def permuted(name: str) -> Any:
    """A model of two streams, made as an objective makes its model."""
    del name
    return family(*XLNET, NUM_LAYERS=1)()


LABELS = part(Labels, model=classifier, candidates=classes)

OTHER_OBJECTIVES = [
    *REPLACED_TOKEN,
    Case("permutation", part(Permutation, model=permuted)),
    Case("labels", LABELS),
    Case("label_sets", part(LabelSets, model=classifier)),
    Case("consistency", part(Consistency, labels=LABELS, annealing=linear, steps=10)),
    Case("regression", part(Regression, model=classifier)),
    *LONG_ROWS,
]


def carrying(cases: list[Case]) -> Any:
    """Parametrises a test with the entries that have a carry."""
    chosen = [case for case in cases if case.carry]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


def having(cases: list[Case], *properties: str) -> Any:
    """Parametrises a test with the entries that lack none of the properties.

    All tests of an entry in a file follow each other, so that one process compiles it once.
    Variants are left to `make test-long`.
    """
    chosen = [case for case in cases if not set(case.lacks) & set(properties)]
    entries = [
        pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (case.name in VARIANTS))
        for case in chosen
    ]
    return pytest.mark.parametrize("case", entries, scope="module")
