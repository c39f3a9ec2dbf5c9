"""Every test of lm.data has a cache of its own."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the caches, empty at first."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LM_CACHE_DIR", str(folder))
    return folder
