"""Who bound a name, and what two configurations come to."""

from collections.abc import Callable
from typing import Any

import pytest

from lm.config.describe import diff, explain
from lm.errors import ConfigError
from tests.config.conftest import GOOD

Scanned = Callable[..., list[Any]]


def test_a_parameter_is_explained_through_its_macro(scanned: Scanned) -> None:
    (found,) = explain("train.steps", scanned(GOOD, "STEPS = 20"))
    assert found.lines() == [
        "parts.train.steps = 20",
        "    run.gin:6: parts.train.steps = %STEPS",
        "    --gin.STEPS: STEPS = 20",
    ]


def test_a_macro_is_explained_with_what_it_overrides(scanned: Scanned) -> None:
    (found,) = explain("STEPS", scanned(GOOD, "STEPS = 20", "STEPS = 30"))
    assert found.record() == {
        "name": "STEPS",
        "value": "30",
        "bound": "30",
        "origin": "--gin.STEPS",
        "through": [],
        "overrides": [
            {"name": "STEPS", "bound": "20", "origin": "--gin.STEPS"},
            {"name": "STEPS", "bound": "10", "origin": "run.gin:4"},
        ],
    }


def test_every_scope_and_parameter_of_a_name_is_told(scanned: Scanned) -> None:
    bindings = scanned(f"{GOOD}big/parts.Layer.width = 9\nparts.Layer.rate = 0.1\n")
    names = [found.binding.written for found in explain("Layer", bindings)]
    assert names == ["parts.Layer.width", "big/parts.Layer.width", "parts.Layer.rate"]
    (scoped,) = explain("big/Layer.width", bindings)
    assert scoped.value == 9


def test_an_unbound_name_is_an_error_with_the_nearest(scanned: Scanned) -> None:
    with pytest.raises(ConfigError, match="nothing binds 'STPES'; did you mean 'STEPS'"):
        explain("STPES", scanned(GOOD))


def test_a_difference_is_told_by_resolved_values(scanned: Scanned) -> None:
    first = scanned(GOOD)
    second = scanned(
        GOOD.replace("%STEPS", "12")
        .replace("import parts", "import parts as p")
        .replace("parts.", "p.")
    )
    assert diff(first, first) == []
    assert diff(first, second) == [
        ("STEPS", "-", "10"),
        ("parts.train.steps", "10", "12"),
    ]


def test_a_value_reached_another_way_is_no_difference(scanned: Scanned) -> None:
    first = scanned(GOOD)
    second = scanned(GOOD.replace("STEPS", "NUMBER_OF_STEPS"))
    assert diff(first, second) == []
