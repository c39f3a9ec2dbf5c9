"""Reading a Hugging Face folder: which model it holds, its gin bindings and its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from lm.config.syntax import Binding
from lm.errors import UserError
from lm.interop.config_json import Format, Variant, binding, bindings, check_fixed
from lm.interop.huggingface import FORMATS, ours
from lm.interop.renaming import Tensors, full_name, match, their_name
from lm.interop.tensor_files import read_tensors
from lm.json_file import read_object
from lm.types import Shape

CONFIG = "config.json"
FLOATS = {np.dtype(kind) for kind in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)}
_MOST_SHOWN = 8


class Folder(NamedTuple):
    """The contents of a folder.

    Attributes:
        config: `config.json` with missing keys filled in.
        format: format of its `model_type`.
        variant: variant of its class.
        weights: path of our variable -> tensor, memory-mapped.
        left_out: tensors without a variable in the model, such as a second head.
    """

    config: dict[str, Any]
    format: Format
    variant: Variant
    weights: dict[str, np.ndarray]
    left_out: list[str]

    def bindings(self) -> list[Binding]:
        """Returns the bindings of the model's settings."""
        settings = (*self.format.settings, *self.variant.settings)
        sizes = self.variant.purpose.sizes.items()
        own = {name: value(self.config) for name, value in sizes} | {**self.variant.bindings}
        chosen = [binding(name, value) for name, value in own.items()]
        # A variant's own bindings come last, to override what the file says of missing parts.
        found = {one.key: one for one in [*bindings(self.config, settings), *chosen]}
        return list(found.values())

    def row_length(self) -> int:
        """Returns the maximum length of a model with learned positions, else a usual length."""
        length = self.format.length
        return self.config[length] if isinstance(length, str) else length


def read_folder(folder: Path) -> Folder:
    """Returns the contents of a folder; tensors are read when they are used.

    Raises:
        UserError: a file, key or tensor is missing, damaged or unknown; the message names it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} has no {CONFIG}: is it a Hugging Face folder?")
    config = read_object(folder / CONFIG)
    given = format_of(config)
    config = {**given.fixed, **given.normal(config)}
    check_fixed(config, given.fixed)
    return chosen(config, given, read_tensors(folder))


def format_of(config: Mapping[str, Any]) -> Format:
    """Returns the format of a file's model type.

    Raises:
        UserError: the type is not supported.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"{CONFIG}: model_type = {model_type!r:.40}; known are {known}")
    return FORMATS[model_type]


def chosen(config: dict[str, Any], given: Format, tensors: Tensors) -> Folder:
    """Returns the folder as the first variant whose names match the tensors.

    Raises:
        UserError: no variant matches its class, settings or tensors.
    """
    refusal = None
    for variant in variants(config, given):
        try:
            weights = ours(variant.family, tensors)
        except UserError as error:
            refusal = error
            continue
        if variant.head is None or variant.head in weights:
            require_numbers(weights, variant)
            return Folder(config, given, variant, weights, left_out(tensors, variant))
    raise refusal or UserError(f"{CONFIG}: the file has no {variant.head}, which it needs")


def variants(config: Mapping[str, Any], given: Format) -> Sequence[Variant]:
    """Returns the variants of a file's class whose required settings match.

    Raises:
        UserError: there are none.
    """
    names = config.get("architectures") or [given.variants[0].architecture]
    name = names[0] if isinstance(names, list) else names
    of_class = [variant for variant in given.variants if variant.architecture == name]
    if not of_class:
        known = ", ".join(dict.fromkeys(variant.architecture for variant in given.variants))
        raise UserError(f"{CONFIG}: architectures = [{name!r:.60}]; known are {known}")
    found = [v for v in of_class if all(config.get(key) == x for key, x in v.when.items())]
    if not found:
        said = ", ".join(f"{key} = {config.get(key)!r:.40}" for key in of_class[0].when)
        raise UserError(f"{CONFIG}: no {name} with {said} is known")
    return found


def require_numbers(weights: Tensors, variant: Variant) -> None:
    """Checks that weights are floating-point numbers.

    Raises:
        UserError: a tensor is not; the message names the first one.
    """
    for path, tensor in weights.items():
        if tensor.dtype not in FLOATS:
            name = their_name(variant.family, path)
            raise UserError(f"{name} holds {tensor.dtype}; weights are floating-point numbers")


def left_out(tensors: Tensors, variant: Variant) -> list[str]:
    """Returns the tensors of a folder without a variable in the model."""
    family = variant.family
    return [
        name
        for name in tensors
        if any(match(pattern, full_name(family, name)) for pattern in family.unused)
    ]


def require_fit(weights: Tensors, shapes: Mapping[str, Shape], variant: Variant) -> None:
    """Checks that the weights match the model that `config.json` describes.

    Args:
        weights: path -> tensor.
        shapes: path -> shape of every variable of the model.
        variant: for the names in the message.

    Raises:
        UserError: tensors are missing, left over or of another shape; the message names them.
    """
    faults = []
    for path in sorted({*weights, *shapes}):
        name = their_name(variant.family, path)
        if path not in weights:
            faults.append(f"{name} is missing")
        elif path not in shapes:
            faults.append(f"{name} belongs to no part of this model")
        elif tuple(weights[path].shape) != tuple(shapes[path]):
            here, there = list(weights[path].shape), list(shapes[path])
            faults.append(f"{name} is {here} here, {there} by {CONFIG} (as [in, out])")
    if faults:
        faults = list(dict.fromkeys(faults))
        more = f"; and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise UserError(f"the tensors are not those of {CONFIG}: {'; '.join(faults[:8])}{more}")
