"""Experts on a mesh axis: tokens travel all to all, results are those of one device."""

import json

import pytest

from tests.mesh.process import python


@pytest.mark.slow
def test_tokens_travel_to_their_experts_and_back(tmp_path):
    file = tmp_path / "experts.json"
    python("tests.mesh.experts", str(file))
    found = json.loads(file.read_text())
    assert found["worst"] <= 1e-5
    assert found["collectives"]["all-to-all"] >= 2
    assert all("('expert'" in spec for spec in found["lie"].values())
