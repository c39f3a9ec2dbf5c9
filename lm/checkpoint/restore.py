"""Strict loading of tensors into variables: none missing, none unused, no other shapes."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm.abstract import give_values, set_value
from lm.checkpoint import variable_names
from lm.checkpoint.folder import CheckpointError, read, verify

_MAX_SHOWN = 8


def assign(
    variables: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    source: object,
    partial: Collection[str] = (),
) -> list[str]:
    """Assigns to every variable the array of its name.

    Args:
        variables: name -> Keras variable.
        arrays: name -> array.
        source: where the arrays come from, for the message.
        partial: regular expressions of names that may differ; those variables keep their value.

    Returns:
        The allowed differences, one line each.

    Raises:
        CheckpointError: listing the differences; no variable was changed.
    """
    allowed = require_fit(variables, arrays, source=source, partial=partial)
    for name, variable in variables.items():
        if name not in allowed:
            set_value(variable, arrays[name])
    return list(allowed.values())


def require_fit(
    variables: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    source: object,
    partial: Collection[str] = (),
) -> dict[str, str]:
    """Returns name -> allowed difference; arguments as for `assign`.

    Raises:
        CheckpointError: listing the other differences.
    """
    differences = _differences(variables, arrays)
    allowed = {n for n in differences if any(re.search(pattern, n) for pattern in partial)}
    problems = [text for name, text in differences.items() if name not in allowed]
    if problems:
        shown = "; ".join(problems[:_MAX_SHOWN])
        more = f"; and {len(problems) - _MAX_SHOWN} more" if len(problems) > _MAX_SHOWN else ""
        raise CheckpointError(
            f"{source} does not fit this model: {shown}{more}. "
            "Load it into the model it was made with, or allow differences with --partial=REGEX"
        )
    return differences


def load_weights(model: keras.Model, folder: Path, *, partial: Collection[str] = ()) -> list[str]:
    """Loads the weights of a checkpoint, averages if it has them; one tensor is read at a time.

    Variables without a value that are no weights, such as seeds, are initialized afterwards.

    Args:
        model: the built objective, or its model.
        folder: a checkpoint folder.
        partial: regular expressions of names that may differ; see `assign`.

    Returns:
        The allowed differences, one line each.

    Raises:
        CheckpointError: the checkpoint is damaged or does not fit.
    """
    arrays = mapped_weights(folder)
    variables = variable_names.weights(model)
    if not variables.keys() & arrays.keys():
        variables = variable_names.model_weights(model)
    allowed = assign(variables, arrays, source=folder, partial=partial)
    give_values(model.variables)
    return allowed


def mapped_weights(folder: Path) -> dict[str, np.ndarray]:
    """Returns the weights that `load_weights` would take, memory-mapped.

    Raises:
        DamagedError: the checkpoint is damaged.
    """
    held = verify(folder).tensors
    kinds = [kind for kind in ("weights", "averages") if kind in held]
    return {name: x for kind in kinds for name, x in read(folder, kind).items()}


def _differences(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns name -> a description of the difference, for every name that differs."""
    found = {name: f"{name} is not in the checkpoint" for name in variables if name not in arrays}
    found |= {name: f"{name} is only in the checkpoint" for name in arrays if name not in variables}
    for name in variables.keys() & arrays.keys():
        here, there = _kind(variables[name]), _kind(arrays[name])
        if here != there:
            found[name] = f"{name} is {there} in the checkpoint, {here} here"
    return dict(sorted(found.items()))


def _kind(tensor: Any) -> str:
    """Returns dtype and shape, e.g. `float32 [2, 3]`."""
    return f"{keras.backend.standardize_dtype(tensor.dtype)} {list(tensor.shape)}"
