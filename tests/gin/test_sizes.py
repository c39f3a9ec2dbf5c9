"""No number of a family may be out of its range: refused where it is bound, before it is built."""

import pytest

from lm import config
from lm.config import macros
from lm.errors import ConfigError
from tests.golden import trees

FILES = sorted(trees.GIN.glob("models/*/*.gin"))
SIZES = {path.parent.name: path for path in FILES if path.stem not in trees.PARTS}


@pytest.mark.parametrize("family", SIZES)
def test_no_whole_number_of_a_family_may_be_negative(family):
    file = str(SIZES[family])
    table = macros.table(config.load([file], roots=["MODEL"]).bindings)
    numbers = [macro for macro, binding in table.items() if type(binding.value) is int]
    assert "HIDDEN_DIM" in numbers
    for macro in numbers:
        with pytest.raises(ConfigError, match=rf"takes an integer from . on.*, not -1.*{macro}"):
            config.load([file], [f"{macro} = -1"], roots=["MODEL"])
