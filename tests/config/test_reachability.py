"""Which bindings count as used, by gin's scope rule, and which are refused."""

from collections.abc import Callable
from typing import Any

import pytest

from lm.config import reachability
from lm.errors import ConfigError
from tests.config.conftest import GOOD, Load

Scanned = Callable[..., list[Any]]


def used(bindings: list[Any], *roots: str) -> set[str]:
    """The left sides that a walk from the roots reaches."""
    keys = reachability.walk(bindings, roots or ["parts.train"]).keys
    return {binding.written for binding in bindings if binding.key in keys}


def test_a_walk_follows_references_and_macros(scanned: Scanned) -> None:
    assert used(scanned(GOOD)) == {
        "STEPS",
        "parts.train.model",
        "parts.train.steps",
        "big/parts.Model.layer",
        "parts.Layer.width",
    }


def test_an_unscoped_reference_inherits_the_scope(scanned: Scanned) -> None:
    assert "big/parts.Layer.name" in used(scanned(f"{GOOD}big/parts.Layer.name = 'x'\n"))


def test_a_scoped_reference_replaces_the_scope(scanned: Scanned) -> None:
    text = GOOD.replace("= @parts.Layer", "= @small/parts.Layer")
    bindings = scanned(
        f"{text}small/parts.Layer.rate = 0.1\n"
        "big/parts.Layer.name = 'x'\nbig/small/parts.Layer.kind = 'deep'\n"
    )
    assert "small/parts.Layer.rate" in used(bindings)
    assert not {"big/parts.Layer.name", "big/small/parts.Layer.kind"} & used(bindings)


def test_a_call_sees_every_prefix_of_its_scope(scanned: Scanned) -> None:
    text = GOOD.replace("@big/parts.Model()", "@big/one/parts.Model()")
    bindings = scanned(f"{text}big/one/parts.Model.depth = 2\none/parts.Layer.rate = 0.1\n")
    assert {"big/parts.Model.layer", "big/one/parts.Model.depth"} <= used(bindings)
    assert "one/parts.Layer.rate" not in used(bindings)


def test_a_called_reference_in_a_macro_has_the_macros_scope(scanned: Scanned) -> None:
    text = GOOD.replace("@big/parts.Model()", "%MODEL") + "MODEL = @parts.Model()\n"
    bindings = scanned(
        f"{text}MODEL/parts.Model.depth = 2\nMODEL/parts.Model.layer = @parts.Layer\n"
    )
    assert "MODEL/parts.Model.depth" in used(bindings)
    assert "big/parts.Model.layer" not in used(bindings)


def test_what_the_walk_finds_is_what_gin_does(load: Load) -> None:
    text = GOOD.replace("= @parts.Layer", "= @big/thin/parts.Layer").replace(
        "width = 8", "width = 1"
    )
    loaded = load(f"{text}big/parts.Layer.width = 2\nbig/thin/parts.Layer.rate = 0.5\n")
    model, _, _ = loaded.configured("parts.train")()
    assert [(layer.width, layer.rate) for layer in model.layers] == [(2, 0.5)]


def test_a_walk_may_start_at_a_macro_or_in_a_scope(scanned: Scanned) -> None:
    bindings = scanned(f"{GOOD}THING = @parts.unused\nparts.unused.value = 1\n")
    assert used(bindings, "THING") == {"THING", "parts.unused.value"}
    assert "big/parts.Model.layer" in used(bindings, "big/parts.Model")


def test_what_hangs_below_a_replaced_value_is_dropped(load: Load) -> None:
    loaded = load(
        f"{GOOD}small/parts.Model.layer = @parts.Layer\n", "parts.train.model = @small/Model()"
    )
    assert "big/parts.Model.layer" not in loaded.text()
    assert loaded.configured("parts.train")()[0].layers[0].width == 8


def test_what_hangs_below_an_unused_macro_is_kept(load: Load) -> None:
    loaded = load(f"{GOOD}THING = @parts.unused\nparts.unused.value = 4\n")
    assert loaded.value("THING")() == 4


def test_a_flag_below_a_replaced_value_is_refused(load: Load) -> None:
    text = f"{GOOD}small/parts.Model.layer = @parts.Layer\nOTHER = @small/parts.Model\n"
    with pytest.raises(ConfigError, match=r"--gin.big/Model.depth: .* is called in 'small'"):
        load(text, "parts.train.model = @small/Model()", "big/Model.depth = 3")


def test_an_unused_macro_is_allowed_unless_it_looks_like_a_slip(load: Load) -> None:
    assert load(f"{GOOD}UNRELATED = 3\n").value("UNRELATED") == 3
    with pytest.raises(ConfigError, match=r"run.gin:9: nothing uses the macro STEP; did you mean"):
        load(f"{GOOD}STEP = 3\n")
