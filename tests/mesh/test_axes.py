"""What layers declare of their axes, and the rules that lay them on a mesh, without devices."""

import keras
import pytest

from lm.errors import ConfigError
from lm.mesh.axes import bound, declared, lay_out, outputs, split
from lm.nn.branch import Context
from tests.built import model, noise
from tests.catalogue import FEED, SWITCH, WIDTH, mixture

RULES = [("vocab", "model"), ("mlp", "model"), ("heads", "model"), ("joined_kv", "model")]
SIZES = {"data": 4, "model": 2}
TABLE, HEAD = "gpt/embedding/embeddings", "gpt/head/kernel"
VOCAB = {TABLE: ("vocab", "embed")}


def laid(shapes, axes, *, rules=RULES, sizes=SIZES):
    return {
        path: x.split for path, x in lay_out(shapes, axes=axes, rules=rules, sizes=sizes).items()
    }


def test_rules_have_t5x_priorities():
    rules = [("heads", "model"), ("embed", "model"), ("embed", "data"), ("vocab", "model")]
    assert split(("embed", "heads"), rules) == ("data", "model")
    assert split(("vocab", "embed"), rules) == (None, "model")
    assert split(("embed", "heads"), [("heads", None), *rules]) == ("model", None)


def test_matrices_are_split_as_megatron_splits_them():
    made = model("gpt2")
    found = laid({v.path: tuple(v.shape) for v in made.trainable_variables}, declared(made))
    across, along, whole = (None, "model"), ("model", None), (None,)
    expected = {
        "embedding/embeddings": along,
        "layer_0_0/self_attention/heads/query/kernel": across,
        "layer_0_0/self_attention/heads/query/bias": ("model",),
        "layer_0_0/self_attention/heads/output/kernel": along,
        "layer_0_1/feed_forward/hidden/kernel": across,
        "layer_0_1/feed_forward/output/kernel": along,
        "layer_0_1/feed_forward/output/bias": whole,
    }
    for end, layout in expected.items():
        assert [x for path, x in found.items() if path.endswith(end)] == [layout], end


def test_a_size_that_does_not_divide_is_refused_with_what_to_change():
    with pytest.raises(ConfigError, match=r"50257 along 'vocab'.*'model' of 2.*VOCABULARY_SIZE"):
        laid({TABLE: (50257, 768)}, VOCAB)
    assert laid({TABLE: (50257, 768)}, VOCAB, rules=[("vocab", None), *RULES]) == {
        TABLE: (None, None)
    }


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        (("embed", "mlp"), (8, 9), r"9 along 'mlp'.*INTERMEDIATE_DIM"),
        (("embed", "mlp"), (6, 8), r"6 along 'embed'.*HIDDEN_DIM"),
        (("embed", "joined_kv"), (8, 9), r"9 along 'joined_kv'.*NUM_HEADS"),
        (("relpos_buckets", "heads"), (32, 3), r"3 along 'heads'.*NUM_HEADS"),
    ],
)
def test_widths_and_heads_that_do_not_divide_name_their_bindings(axes, shape, message):
    with pytest.raises(ConfigError, match=message):
        laid({"kernel": shape}, {"kernel": axes}, rules=[*RULES, ("embed", "data")])


def test_a_matrix_without_axes_is_refused():
    with pytest.raises(ConfigError, match=r"new/kernel \[8, 8\] has no logical axes.*new/kernel"):
        laid({"gpt/decoder/new/kernel": (8, 8)}, {})
    assert laid({"gpt/decoder/new/scale": (8,)}, {}) == {"gpt/decoder/new/scale": (None,)}


def test_axes_of_another_rank_are_refused():
    with pytest.raises(ConfigError, match=r"head/kernel \[2, 3, 4\]: its logical axes are 2"):
        laid({HEAD: (2, 3, 4)}, {HEAD: ("embed", "vocab")})


def test_two_patterns_that_match_are_refused():
    twice = {"head/kernel": ("embed", "vocab"), "(head|tail)/kernel": ("embed", "vocab")}
    with pytest.raises(ConfigError, match=r"of mesh.Mesh.axes both match"):
        bound([HEAD], twice)
    layer = keras.layers.Dense(2, name="dense")
    layer.build((1, 2))
    layer.logical_axes = {"kernel": ("embed", "mlp"), "ker.*": ("embed", "mlp")}
    with pytest.raises(ConfigError, match=r"kernel and ker\.\* of dense both match"):
        declared(layer)


def test_a_pattern_is_the_end_of_a_path_in_whole_names():
    assert bound([HEAD, "gpt/ahead/kernel"], {"head/kernel": ("embed", "vocab")}).keys() == {HEAD}


def test_an_owner_says_what_the_axes_of_its_parts_mean():
    """A feed-forward of experts has an axis more than one of its own."""
    alone = FEED(name="alone")
    alone(noise(0, 1, 4), Context())
    many = mixture(SWITCH)(name="many")
    many(noise(0, 1, 4), Context())
    assert declared(alone)["alone/hidden/kernel"] == ("embed", "mlp")
    assert declared(many)["many/experts/hidden/kernel"] == ("expert", "embed", "expert_mlp")
    assert many.experts.hidden.kernel.shape == (4, WIDTH, 24)
    assert outputs(many).keys() == {"many/to_experts", "many/from_experts"}
