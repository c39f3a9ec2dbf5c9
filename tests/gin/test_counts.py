"""Every size of every family has exactly its published number of parameters; nothing is allocated.

`tests/golden/trees/<family>_<size>.txt` holds the variables of one size of each family: names are
an interface, for checkpoints and meshes depend on them. `make golden` writes the files anew.
"""

import math

import pytest

from tests.golden import trees

COUNTS = {
    "awd_lstm/large": 24_347_440,
    "bahdanau/large": 119_010_000,
    "bert/base": 109_482_240,
    "bert/large": 335_141_888,
    "electra/small": 13_549_057,
    "electra/base": 109_483_009,
    "electra/large": 335_142_913,
    "evolved_transformer/mobile": 7_242_496,
    "evolved_transformer/small": 47_885_472,
    "evolved_transformer/base": 64_064_512,
    "evolved_transformer/large": 131_191_296,
    "evolved_transformer/big": 221_714_432,
    "evolved_transformer/deep": 218_069_120,
    "evolved_transformer/meena": 2_592_236_800,
    "evolved_transformer_lm/small": 38_070_272,
    "evolved_transformer_lm/medium": 109_640_832,
    "flash/base": 112_002_050,
    "flash_quad/base": 111_983_642,
    "gau/base": 112_040_425,
    "funnel/b4_4_4": 130_973_184,
    "funnel/b6_3x2_3x2": 130_973_184,
    "funnel/b6_6_6": 177_057_792,
    "funnel/b8_8_8": 386_127_872,
    "funnel/b10_10_10": 468_021_248,
    "gpt2/small": 124_439_808,
    "gpt2/medium": 354_823_168,
    "gpt2/large": 774_030_080,
    "gpt2/xl": 1_557_611_200,
    "gnmt/large": 212_407_296,
    "lstm_lm/large": 51_012_000,
    "luong/input_feeding": 221_032_000,
    "luong/large": 217_032_000,
    "moe/small_8": 322_855_680,
    "moe/small_32": 1_003_107_072,
    "moe_lstm/flat_32": 850_300_928,
    "moe_lstm/hierarchical_256": 1_085_427_712,
    "paragraph_vector/cbow": 10_000_000,
    "paragraph_vector/dbow": 10_000_000,
    "paragraph_vector/dbow_words": 20_000_000,
    "paragraph_vector/dm_concat": 20_000_000,
    "paragraph_vector/dm_mean": 20_000_000,
    "paragraph_vector/skip_gram": 10_000_000,
    "primer/small": 35_371_264,
    "primer/medium": 109_749_120,
    "primer/large": 536_685_056,
    "primer_ez/small": 35_380_480,
    "primer_ez/medium": 109_776_768,
    "primer_ez/large": 536_758_784,
    "primer_ez_t5/base": 223_069_440,
    "primer_t5/base": 223_061_760,
    "switch_primer_ez/medium": 548_668_032,
    "switch_vanilla/medium": 548_585_088,
    "seq2seq_lstm/paper": 384_000_000,
    "seq2seq_lstm/biases": 384_032_000,
    "st_moe/base": 700_641_024,
    "st_moe/xl": 8_889_972_736,
    "st_moe/32b": 269_104_613_376,
    "switch/base_8": 619_339_008,
    "switch/base_16": 1_072_397_568,
    "switch/base_32": 1_978_514_688,
    "switch/base_64": 3_790_748_928,
    "switch/base_128": 7_415_217_408,
    "switch/base_256": 14_664_154_368,
    "switch/large_128": 26_309_291_008,
    "t5/small": 60_506_624,
    "t5/base": 222_903_552,
    "t5/large": 737_668_096,
    "t5/3b": 2_851_598_336,
    "t5/11b": 11_307_321_344,
    "t5_1_1/small": 76_961_152,
    "t5_1_1/base": 247_577_856,
    "t5_1_1/large": 783_150_080,
    "t5_1_1/xl": 2_849_757_184,
    "t5_1_1/xxl": 11_135_332_352,
    "transformer_xl/enwik8_12": 41_066_496,
    "transformer_xl/enwik8_24": 277_278_720,
    "transformer/base": 61_147_136,
    "transformer/big": 210_374_656,
    "transformer_plus_plus/small": 35_337_968,
    "transformer_plus_plus/medium": 109_686_912,
    "transformer_plus_plus/large": 536_602_144,
    "vanilla/small": 35_352_832,
    "vanilla/medium": 109_693_824,
    "vanilla/large": 536_537_600,
    "xlnet/base": 116_718_336,
    "xlnet/large": 360_268_800,
}
SHALLOW = {
    "bert/base",
    "evolved_transformer/mobile",
    "gpt2/small",
    "paragraph_vector/dbow_words",
    "primer/small",
    "t5/small",
    "t5_1_1/small",
    "transformer/base",
}


# Half a second each adds up: `make check` counts a few, `make test` all.
SIZES = [pytest.param(size, marks=() if size in SHALLOW else pytest.mark.slow) for size in COUNTS]
TIED = (
    "from lm.models import encoder_decoder",
    "from lm.nn import heads",
    "encoder_decoder.EncoderDecoder.head = @heads.TiedLogits",
)


@pytest.mark.parametrize("size", SIZES)
def test_parameters(size):
    assert trees.summary(f"models/{size}.gin").parameters == COUNTS[size]


def test_every_size_is_counted():
    found = {f"{path.parent.name}/{path.stem}" for path in trees.GIN.glob("models/*/*.gin")}
    parts = {name for name in found if name.split("/")[1] in trees.PARTS}
    assert found - parts == set(COUNTS)


@pytest.mark.parametrize("name", trees.SIZES)
def test_variable_tree(name):
    assert trees.tree(name) == trees.path(name).read_text(encoding="utf-8")


# Discriminator and generator together, which share the embedder.
ELECTRA_ENCODERS = {
    "electra/small": 13_483_008,
    "electra/base": 108_891_648,
    "electra/large": 334_092_288,
}
TRAINED = {
    "electra/small": 14_196_219,
    "electra/base": 119_386_427,
    "electra/large": 354_655_291,
}


@pytest.mark.parametrize(
    "size", [pytest.param(s, marks=() if "small" in s else pytest.mark.slow) for s in TRAINED]
)
def test_electra_with_its_generator(size):
    shapes = trees.objective(f"models/{size}.gin", "objectives/replaced_token.gin")
    assert sum(map(math.prod, shapes.values())) == TRAINED[size]
    head = sum(math.prod(shape) for path, shape in shapes.items() if "/encoder/head/" in path)
    kept = sum(math.prod(shape) for path, shape in shapes.items() if "/encoder/" in path)
    assert (kept, kept - head) == (COUNTS[size], ELECTRA_ENCODERS[size])


# 24 units of 3,641,728 each without norm and bias; FLASH has two more heads of 2 · 128.
MASKED = {
    "bert": 109_514_298,
    "gau": 112_040_425 + 768 * 769 + 2 * 768 + 32_000,
    "flash": 112_002_050 + 768 * 769 + 2 * 768 + 32_000,
}


HEADED = [
    pytest.param(family, marks=() if family == "bert" else pytest.mark.slow) for family in MASKED
]


@pytest.mark.parametrize("family", HEADED)
def test_with_the_token_head(family):
    head = f"models/{'bert' if family == 'bert' else 'gau'}/masked.gin"
    counted = trees.summary(f"models/{family}/base.gin", head)
    assert counted.parameters == MASKED[family]


def test_with_a_label_head():
    """Two labels of BERT base: the matrix and the bias of the scores."""
    counted = trees.summary("models/bert/base.gin", "models/bert/classifier.gin")
    assert counted.parameters == COUNTS["bert/base"] + 2 * 768 + 2


@pytest.mark.slow
def test_units_of_flash():
    """24 units with their ScaleNorms, without the relative bias: the count of the equations."""
    modules = trees.summary("models/flash_quad/base.gin").modules
    units = modules["decoder/gated_attention_unit"] - 24 * 2 * 128
    assert units + modules["decoder/before_scale_norm"] == 24 * 3_641_729 == 87_401_496


def test_t5_1_1_tied_has_the_size_of_t5():
    counted = trees.summary("models/t5_1_1/base.gin", bindings=TIED)
    assert counted.parameters == COUNTS["t5/base"]


FUNNEL_ENCODERS = {
    "funnel/b4_4_4": 115_611_648,
    "funnel/b6_3x2_3x2": 115_611_648,
    "funnel/b6_6_6": 161_696_256,
    "funnel/b8_8_8": 358_830_080,
    "funnel/b10_10_10": 440_723_456,
}


@pytest.mark.slow
@pytest.mark.parametrize("size", FUNNEL_ENCODERS)
def test_funnel_without_its_decoder(size):
    counted = trees.summary(f"models/{size}.gin", bindings=("NUM_DECODER_LAYERS = 0",))
    assert counted.parameters == FUNNEL_ENCODERS[size]


def test_what_sparse_layers_add():
    """No release states these: each of n layers brings experts, a router and for ST-MoE a twin."""

    def added(n, width, hidden, matrices, experts, twins):
        one = matrices * width * hidden
        return n * ((experts - 1) * one + width * experts + twins * (one + width))

    assert COUNTS["st_moe/base"] - COUNTS["t5_1_1/base"] == added(6, 768, 2048, 3, 16, 1)
    assert COUNTS["switch/base_64"] - COUNTS["t5/base"] == added(12, 768, 3072, 2, 64, 0)
    biases = 6 * 7 * (3072 + 768)
    assert COUNTS["moe/small_8"] - COUNTS["gpt2/small"] == (
        added(6, 768, 3072, 2, 8, 0) + 6 * 768 * 8 + biases
    )
