"""Runs of the toy know nothing of the configuration that an earlier test loaded."""

import pytest

from lm.config import parse


@pytest.fixture(autouse=True, scope="module")
def _no_configuration():
    before = list(parse._LOADED)
    parse._LOADED.clear()
    yield
    parse._LOADED[:] = before
