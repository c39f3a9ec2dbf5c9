"""Tasks are read through a cache of their own, made anew for every test run."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("LM_CACHE_DIR")
    os.environ["LM_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["LM_CACHE_DIR"]
    else:
        os.environ["LM_CACHE_DIR"] = before
