"""Each of Primer's modifications is one line of gin: added to vanilla, or taken from Primer."""

import pytest

from lm.config import load
from lm.nn.norm import LayerNorm
from lm.nn.primer import PrimerNorm, SharedHeads
from tests.golden import trees


def attention(model):
    return model.decoder.residuals[0].branch


def feed_forward(model):
    return model.decoder.residuals[1]


def norms(model):
    attends, feeds = model.decoder.residuals[:2]
    return [
        norm
        for layers in (attends.before, feeds.before, feeds.after, model.decoder.after)
        for norm in layers
        if isinstance(norm, PrimerNorm | LayerNorm)
    ]


CHANGES = {
    "squared_relu": lambda model: feed_forward(model).branch.activation.__name__ == "squared_relu",
    "mdha": lambda model: len(attention(model).after) == len(attention(model).heads.projections),
    "shared_qk": lambda model: isinstance(attention(model).heads, SharedHeads),
    "primer_norm": lambda model: all(isinstance(norm, PrimerNorm) for norm in norms(model)),
    "post_norm": lambda model: not feed_forward(model).before,
}


def changed(*files):
    model = load([f"{file}.gin" for file in files], roots=["MODEL"]).value("MODEL")()
    assert len(norms(model)) == 3
    return [name for name, is_changed in CHANGES.items() if is_changed(model)]


def test_families():
    assert changed("models/vanilla/small") == []
    assert changed("models/primer_ez/small") == ["squared_relu", "mdha"]
    assert changed("models/primer/small") == list(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_line_adds_one_change_or_takes_it(name):
    folder = "papers/primer/ablations"
    assert changed("models/vanilla/small", f"{folder}/{name}") == [name]
    others = [other for other in CHANGES if other != name]
    assert changed("models/primer/small", f"{folder}/no_{name}") == others


def test_every_ablation_is_one_line():
    for file in (trees.GIN / "papers/primer/ablations").glob("*.gin"):
        lines = file.read_text(encoding="utf-8").splitlines()
        bindings = [line for line in lines if " = " in line]
        assert len(bindings) == 1, file
