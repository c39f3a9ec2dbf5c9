"""What every test of the optimizers needs."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest


@pytest.fixture
def variable() -> Callable[[Any, str], Any]:
    """Returns a maker of float32 variables under a given path."""

    def make(value: Any, path: str = "layer/kernel") -> Any:
        *scopes, name = path.split("/")
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(keras.name_scope(scope))
            return keras.Variable(np.asarray(value, "float32"), name=name)

    return make
