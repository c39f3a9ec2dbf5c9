"""The rules that lay variables on a mesh, without devices."""

import re
from pathlib import Path

import pytest

from lm.errors import ConfigError
from lm.mesh.axes import AXES, full_path, lay_out, split

TREES = sorted((Path(__file__).parents[1] / "golden" / "trees").glob("*.txt"))
RULES = [("vocab", "model"), ("mlp", "model"), ("heads", "model"), ("joined_kv", "model")]
SIZES = {"data": 4, "model": 2}


def laid(shapes, *, rules=RULES, sizes=SIZES, table=AXES):
    return {
        path: x.split for path, x in lay_out(shapes, table=table, rules=rules, sizes=sizes).items()
    }


def test_rules_have_t5x_priorities():
    rules = [("heads", "model"), ("embed", "model"), ("embed", "data"), ("vocab", "model")]
    assert split(("embed", "heads"), rules) == ("data", "model")
    assert split(("vocab", "embed"), rules) == (None, "model")
    assert split(("embed", "heads"), [("heads", None), *rules]) == ("model", None)


def test_matrices_are_split_as_megatron_splits_them():
    shapes = {
        "gpt/embedding/embeddings": (50304, 768),
        "gpt/decoder/layer_0_0/self_attention/heads/query/kernel": (768, 768),
        "gpt/decoder/layer_0_0/self_attention/heads/query/bias": (768,),
        "gpt/decoder/layer_0_0/self_attention/heads/output/kernel": (768, 768),
        "gpt/decoder/layer_0_1/feed_forward/hidden/kernel": (768, 3072),
        "gpt/decoder/layer_0_1/feed_forward/output/kernel": (3072, 768),
        "gpt/decoder/layer_0_1/feed_forward/output/bias": (768,),
    }
    found = list(laid(shapes).values())
    across, along, whole = (None, "model"), ("model", None), (None,)
    assert found == [along, across, ("model",), along, across, along, whole]


def test_a_size_that_does_not_divide_is_refused_with_what_to_change():
    with pytest.raises(ConfigError, match=r"50257 along 'vocab'.*'model' of 2.*VOCABULARY_SIZE"):
        laid({"gpt/embedding/embeddings": (50257, 768)})
    assert laid({"gpt/embedding/embeddings": (50257, 768)}, rules=[("vocab", None), *RULES]) == {
        "gpt/embedding/embeddings": (None, None)
    }


@pytest.mark.parametrize(
    ("path", "shape", "message"),
    [
        ("gpt/decoder/l/feed_forward/hidden/kernel", (8, 9), r"9 along 'mlp'.*INTERMEDIATE_DIM"),
        ("gpt/decoder/l/feed_forward/hidden/kernel", (6, 8), r"6 along 'embed'.*HIDDEN_DIM"),
        ("gpt/decoder/l/heads/query/kernel", (8, 9), r"9 along 'joined_kv'.*NUM_HEADS"),
        ("t5/decoder/relative_bias/embeddings", (32, 3), r"3 along 'heads'.*NUM_HEADS"),
    ],
)
def test_widths_and_heads_that_do_not_divide_name_their_bindings(path, shape, message):
    with pytest.raises(ConfigError, match=message):
        laid({path: shape}, rules=[*RULES, ("embed", "data")])


def test_a_matrix_that_no_rule_knows_is_refused():
    with pytest.raises(ConfigError, match=r"new/kernel \[8, 8\] has no logical axes.*new/kernel"):
        laid({"gpt/decoder/new/kernel": (8, 8)})
    assert laid({"gpt/decoder/new/scale": (8,)}) == {"gpt/decoder/new/scale": (None,)}


def test_an_entry_of_another_rank_or_two_entries_are_refused():
    with pytest.raises(ConfigError, match="names 2 axes"):
        laid({"gpt/head/kernel": (2, 3, 4)})
    twice = AXES | {"(head|tail)/kernel": ("embed", "vocab")}
    with pytest.raises(ConfigError, match="both match"):
        laid({"gpt/head/kernel": (2, 4)}, table=twice)


@pytest.mark.parametrize("tree", TREES, ids=[path.stem for path in TREES])
def test_every_matrix_of_every_family_has_logical_axes(tree):
    lines = [re.fullmatch(r"(\S+) \[(.*)\]", line) for line in tree.read_text().splitlines()]
    shapes = {m[1]: tuple(int(n) for n in m[2].split(",") if n.strip()) for m in lines if m}
    assert shapes
    found = lay_out(shapes, table=AXES, rules=[], sizes={})
    assert all(layout.axes for layout in found.values() if len(layout.shape) > 1)


def test_a_pattern_begins_with_a_whole_name():
    assert re.fullmatch(full_path("head/kernel"), "gpt/head/kernel")
    assert not re.fullmatch(full_path("head/kernel"), "gpt/overhead/kernel")
