"""The carry on eight devices: the same numbers, its rows where the rows of a batch are."""

import json

import numpy as np
import pytest

from tests.mesh.process import python


@pytest.mark.slow
def test_the_carry_is_split_as_the_batch_is(tmp_path):
    python("tests.mesh.carry", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    one, eight = found["one"], found["eight"]
    assert one["carry"].keys() == eight["carry"].keys()
    for path, values in one["carry"].items():
        np.testing.assert_allclose(eight["carry"][path], values, atol=1e-5, err_msg=path)
    assert set(one["rows"]) == {16}
    assert set(eight["rows"]) == {2}
    np.testing.assert_allclose(eight["losses"], one["losses"], rtol=1e-5)
