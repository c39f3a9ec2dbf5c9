"""Our models on Hugging Face's weights give Hugging Face's outputs and gradients."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from lm.errors import UserError
from lm.interop import bert, electra, funnel, gpt2, switch, t5, xlnet
from lm.interop.huggingface import ours, theirs
from lm.nn.stack_state import StackCarry
from lm.nn.transformer_xl import Memory
from tests.catalogue import family
from tests.engine import assert_all_near, assert_near, differentiate

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = {"VOCABULARY_SIZE": 48, "DROPOUT_RATE": 0.0}
ELECTRA = "electra/architecture.gin"
FUNNEL = "funnel/architecture.gin"
XLNET = "xlnet/architecture.gin", "xlnet/permutation.gin"
BLOCKS = {"NUM_LAYERS": None, "BLOCK_SIZES": [2, 1, 1], "BLOCK_REPEATS": [1, 2, 1]}
CLASSIFIER = "bert/architecture.gin", "bert/classifier.gin"


def labelling(*files, **macros):
    """A tiny BERT that labels, with the head that an objective's file binds."""
    files = (*CLASSIFIER, *(f"../{file}" for file in files))
    return family(*files, MAX_SEQUENCE_LENGTH=16, **TINY, **macros)


MODELS = {
    "gpt2": family("gpt2/architecture.gin", MAX_SEQUENCE_LENGTH=16, **TINY),
    "bert": family("bert/architecture.gin", MAX_SEQUENCE_LENGTH=16, **TINY),
    "bert_masked": family(
        "bert/architecture.gin", "bert/masked.gin", MAX_SEQUENCE_LENGTH=16, **TINY
    ),
    "bert_classifier": labelling(NUM_LABELS=3),
    "bert_tokens": labelling("objectives/token_labels.gin", NUM_LABELS=3),
    "bert_spans": labelling("objectives/spans.gin"),
    "electra": family(ELECTRA, EMBEDDING_DIM=12, MAX_SEQUENCE_LENGTH=16, **TINY),
    "electra_generator": family(
        ELECTRA,
        EMBEDDING_DIM=12,
        MAX_SEQUENCE_LENGTH=16,
        DISCRIMINATOR_HEAD="@heads.MaskedLanguageHead",
        **TINY,
    ),
    "funnel": family(FUNNEL, NUM_DECODER_LAYERS=1, **BLOCKS, **TINY),
    "funnel_base": family(FUNNEL, NUM_DECODER_LAYERS=0, **BLOCKS, **TINY),
    # 3 slots an expert for rows of 10, padded or not, as the reference has them.
    "switch": family(
        "switch/architecture.gin",
        HEAD_DIM=6,
        NUM_EXPERTS=4,
        CAPACITY_FACTOR=1.2,
        MIN_CAPACITY=3,
        JITTER=0.0,
        **{**TINY, "NUM_LAYERS": 1},
    ),
    "t5": family("t5/architecture.gin", HEAD_DIM=6, **TINY),
    "t5_1_1": family("t5_1_1/architecture.gin", HEAD_DIM=6, **TINY),
    "xlnet": family("xlnet/architecture.gin", **TINY),
    "xlnet_classifier": family(
        "xlnet/architecture.gin", "xlnet/classifier.gin", NUM_LABELS=3, **TINY
    ),
    "xlnet_permutation": family(*XLNET, **TINY),
    "xlnet_memory": family(*XLNET, MEMORY_LENGTH=5, **TINY),
}
FAMILIES = {
    "gpt2": gpt2.GPT2,
    "bert": bert.BERT,
    "bert_masked": bert.BERT_MASKED,
    "bert_classifier": bert.BERT_CLASSIFIER,
    "bert_tokens": bert.BERT_TOKENS,
    "bert_spans": bert.BERT_SPANS,
    "electra": electra.ELECTRA,
    "electra_generator": electra.ELECTRA_GENERATOR,
    "funnel": funnel.FUNNEL,
    "funnel_base": funnel.FUNNEL,
    "switch": switch.SWITCH,
    "t5": t5.T5,
    "t5_1_1": t5.T5_1_1,
    "xlnet": xlnet.XLNET,
    "xlnet_classifier": xlnet.XLNET,
    "xlnet_permutation": xlnet.XLNET,
    "xlnet_memory": xlnet.XLNET,
}
GOES_ON = {"encoder_continues": np.ones(2, "int32")}
every = pytest.mark.parametrize("name", MODELS)


def read(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def group(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def assert_equals_reference(name, reference):
    """Compares outputs where the cotangent is not zero, and all gradients."""
    features, cotangent = group(reference, "features/"), reference["cotangent"]
    model, carry = MODELS[name](), None
    model(features)
    weights = ours(FAMILIES[name], group(reference, "weights/"))
    assert weights.keys() == {v.path for v in model.trainable_variables}
    for variable in model.trainable_variables:
        variable.assign(weights[variable.path])

    if "memory" in reference:
        carry, features = carry_of(reference["memory"]), features | GOES_ON

    def loss():
        # Nothing is drawn, and the mixture drops tokens in training alone.
        given = {} if carry is None else {"carry": carry}
        outputs = model(features, training=True, **given)
        outputs = outputs if carry is None else outputs[0]
        return ops.sum(outputs * cotangent), outputs

    outputs, gradients = differentiate(loss, model.trainable_variables)()
    real = np.abs(cotangent).sum(-1, keepdims=True) > 0
    assert_near(outputs * real, reference["outputs"] * real, 2e-5)
    expected = ours(FAMILIES[name], group(reference, "gradients/"))
    assert_all_near(gradients, expected, 2e-5)


def carry_of(memory):
    """Returns the carry that holds a memory for every layer, [layers, B, M, D]."""
    residuals = [state for inputs in memory for state in (Memory(inputs), ())]
    return StackCarry(np.full(memory.shape[1], memory.shape[2], "int32"), tuple(residuals))


@every
def test_golden_outputs_and_gradients(name):
    assert_equals_reference(name, read(name))


@pytest.mark.parity
@every
def test_live_outputs_and_gradients(name):
    pytest.importorskip("torch", reason="needs the extra `parity`")
    made = importlib.import_module("tests.golden.huggingface").FAMILIES[name]
    assert_equals_reference(name, made())


@every
def test_there_and_back_again(name):
    before, names = group(read(name), "weights/"), FAMILIES[name]
    again = theirs(names, ours(names, before))
    # The names of BertModel and FunnelModel are bare.
    prefix = "" if again.keys() == before.keys() else names.prefix
    assert again.keys() == {prefix + tensor for tensor in before}
    for tensor, array in before.items():
        np.testing.assert_array_equal(again[prefix + tensor], array, err_msg=tensor)


def test_bare_names_copies_and_buffers_are_understood():
    full = group(read("gpt2"), "weights/")
    bare = {tensor.removeprefix("transformer."): array for tensor, array in full.items()}
    bare |= {"lm_head.weight": full["transformer.wte.weight"], "h.0.attn.bias": np.ones((1, 1))}
    assert ours(gpt2.GPT2, bare).keys() == ours(gpt2.GPT2, full).keys()


@pytest.mark.parametrize(
    ("names", "tensor", "words"),
    [
        (gpt2.GPT2, "h.0.attn.rotary", "transformer.h.0.attn.rotary"),
        (t5.T5, "lm_head.weight", "lm_head.weight"),
    ],
    ids=["gpt2", "t5"],
)
def test_what_has_no_place_is_refused(names, tensor, words):
    with pytest.raises(UserError, match=words):
        ours(names, {tensor: np.zeros((2, 2), "float32")})


def test_a_variable_without_a_name_is_refused():
    with pytest.raises(UserError, match="decoder_only/adapter"):
        theirs(gpt2.GPT2, {"decoder_only/adapter": np.zeros(2, "float32")})
