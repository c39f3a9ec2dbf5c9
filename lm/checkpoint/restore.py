"""Tensors into variables, strictly: nothing missing, nothing left over, nothing reshaped."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm.checkpoint import names
from lm.checkpoint.folder import CheckpointError, read, verify

_SHOWN = 8


def assign(
    variables: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    source: object,
    partial: Collection[str] = (),
) -> list[str]:
    """Give every variable the array of its name.

    Args:
        variables: name -> Keras variable.
        arrays: name -> array.
        source: where the arrays come from, for the message.
        partial: regular expressions; a difference under a name that one of them matches is
            admitted, and the variable keeps its value.

    Returns:
        The admitted differences, one line each.

    Raises:
        CheckpointError: listing what differs; no variable was changed.
    """
    differences = _differences(variables, arrays)
    admitted = {n for n in differences if any(re.search(pattern, n) for pattern in partial)}
    refused = [text for name, text in differences.items() if name not in admitted]
    if refused:
        shown = "; ".join(refused[:_SHOWN])
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise CheckpointError(
            f"{source} does not fit this model: {shown}{more}. "
            "Load it into the model it was made with, or admit differences with --partial=REGEX"
        )
    for name, variable in variables.items():
        if name not in admitted:
            variable.assign(arrays[name])
    return [differences[name] for name in sorted(admitted)]


def load_weights(
    model: keras.Model,
    folder: Path,
    *,
    averaged: bool = True,
    partial: Collection[str] = (),
) -> list[str]:
    """Load a verified checkpoint's weights into a built objective, or the model inside one.

    Args:
        model: the objective or the model.
        folder: a checkpoint folder.
        averaged: whether to prefer averaged weights where the run kept them.
        partial: regular expressions of names that may differ; see `assign`.

    Returns:
        The admitted differences, one line each.

    Raises:
        CheckpointError: the checkpoint is damaged or does not fit.
    """
    manifest = verify(folder)
    arrays = read(folder, "weights")
    if averaged and "averages" in manifest.tensors:
        arrays |= read(folder, "averages")
    variables = names.weights(model)
    if not variables.keys() & arrays.keys():
        variables = names.inner(model)
    return assign(variables, arrays, source=folder, partial=partial)


def _differences(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return name -> what differs, for every name that does."""
    found = {name: f"{name} is not in the checkpoint" for name in variables if name not in arrays}
    found |= {name: f"{name} is only in the checkpoint" for name in arrays if name not in variables}
    for name in variables.keys() & arrays.keys():
        mine, theirs = _kind(variables[name]), _kind(arrays[name])
        if mine != theirs:
            found[name] = f"{name} is {theirs} in the checkpoint, {mine} here"
    return dict(sorted(found.items()))


def _kind(tensor: Any) -> str:
    """Return dtype and shape, e.g. `float32 [2, 3]`."""
    return f"{keras.backend.standardize_dtype(tensor.dtype)} {list(tensor.shape)}"
