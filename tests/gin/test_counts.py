"""Every size of every family has exactly its published number of parameters; nothing is allocated.

`tests/golden/trees/<family>_<size>.txt` holds the variables of one size of each family: names are
an interface, for checkpoints and meshes depend on them. `make golden` writes the files anew.
"""

import pytest

from tests.golden import trees

COUNTS = {
    "bert/base": 109_482_240,
    "bert/large": 335_141_888,
    "gpt2/small": 124_439_808,
    "gpt2/medium": 354_823_168,
    "gpt2/large": 774_030_080,
    "gpt2/xl": 1_557_611_200,
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
    "transformer/base": 61_147_136,
    "transformer/big": 210_374_656,
}
SHALLOW = {"bert/base", "gpt2/small", "t5/small", "t5_1_1/small", "transformer/base"}


# What takes more than a few seconds to build is slow; `make test` runs all.
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
    parts = {name for name in found if name.endswith(("/architecture", "/masked"))}
    assert found - parts == set(COUNTS)


@pytest.mark.parametrize("name", trees.SIZES)
def test_variable_tree(name):
    assert trees.tree(name) == trees.path(name).read_text(encoding="utf-8")


def test_bert_with_the_token_head():
    counted = trees.summary("models/bert/base.gin", "models/bert/masked.gin")
    assert counted.parameters == 109_514_298


def test_t5_1_1_tied_has_the_size_of_t5():
    counted = trees.summary("models/t5_1_1/base.gin", bindings=TIED)
    assert counted.parameters == COUNTS["t5/base"]
