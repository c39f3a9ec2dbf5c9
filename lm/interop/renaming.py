"""Tables of names: their name of a tensor, ours, and the order of its axes."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lm.errors import UserError

Tensors = Mapping[str, np.ndarray]


class Rule(NamedTuple):
    """One tensor of theirs and our variables, which are concatenated in it.

    Attributes:
        theirs: name; `{i}` is the number of a layer.
        ours: variable paths with the same `{i}`; several are concatenated along the last axis.
        order: permutation of the axes, () for the same order.
    """

    theirs: str
    ours: tuple[str, ...]
    order: tuple[int, ...] = ()


class Family(NamedTuple):
    """The names of one model type.

    Attributes:
        rules: one per tensor.
        prefix: of names, missing in models without a head.
        copies: tied tensor -> its original; dropped where the two are equal.
        unused: tensors without a counterpart here, e.g. buffers.
    """

    rules: tuple[Rule, ...]
    prefix: str
    copies: Mapping[str, str]
    unused: tuple[str, ...]


def same(theirs: str, *ours: str) -> Rule:
    """A tensor with the same order of axes."""
    return Rule(theirs, ours)


def linear(theirs: str, *ours: str) -> Rule:
    """The matrix of a PyTorch Linear, [out, in]; our kernels are [in, out]."""
    return Rule(theirs, ours, (1, 0))


def dense(theirs: str, ours: str) -> tuple[Rule, Rule]:
    """Matrix and bias of a PyTorch Linear."""
    return linear(f"{theirs}.weight", f"{ours}/kernel"), same(f"{theirs}.bias", f"{ours}/bias")


def norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
    """Scale and bias of a layer norm."""
    return same(f"{theirs}.weight", f"{ours}/scale"), same(f"{theirs}.bias", f"{ours}/bias")


def to_ours(family: Family, tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns their tensors under our variable paths.

    Raises:
        UserError: if a tensor has no rule.
    """
    ours: dict[str, np.ndarray] = {}
    for name, tensor in distinct(family, tensors):
        rule, layer = find(family, name)
        parts = np.split(transposed(tensor, rule), len(rule.ours), axis=-1)
        paths = (path.replace("{i}", layer) for path in rule.ours)
        ours |= zip(paths, parts, strict=True)
    return ours


def to_theirs(family: Family, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our weights under their names; tied tensors are written once.

    Raises:
        UserError: if a variable has no rule.
    """
    theirs: dict[str, np.ndarray] = {}
    remaining = dict(weights)
    for rule in family.rules:
        for layer in layers(rule.ours[0], weights):
            parts = [remaining.pop(path.replace("{i}", layer)) for path in rule.ours]
            tensor = transposed(np.concatenate(parts, axis=-1), rule)
            theirs[rule.theirs.replace("{i}", layer)] = tensor
    if remaining:
        raise UserError(f"no name for the variable {sorted(remaining)[0]} in this model type")
    return theirs


def transposed(tensor: np.ndarray, rule: Rule) -> np.ndarray:
    """Permutes the axes; every order in use is its own inverse."""
    return np.transpose(tensor, rule.order) if rule.order else tensor


def distinct(family: Family, tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the tensors under full names, without buffers and copies of tied tensors."""
    full = {full_name(family, name): tensor for name, tensor in tensors.items()}
    for name, tensor in full.items():
        original = full.get(family.copies.get(name, ""))
        is_copy = original is not None and np.array_equal(original, tensor)
        if not is_copy and not any(match(pattern, name) for pattern in family.unused):
            yield name, tensor


def full_name(family: Family, name: str) -> str:
    """Returns the name with the prefix that models without a head lack."""
    known = [rule.theirs for rule in family.rules] + [*family.unused, *family.copies]
    fits = any(match(pattern, name) for pattern in known)
    return name if fits else family.prefix + name


def find(family: Family, name: str) -> tuple[Rule, str]:
    """Returns the rule of a tensor and the number of its layer as text."""
    for rule in family.rules:
        if found := match(rule.theirs, name):
            return rule, "".join(found.groups())
    raise UserError(f"no variable for the tensor {name}: it belongs to no model of this type")


def layers(pattern: str, names: Tensors) -> list[str]:
    """Returns the layer numbers, as text, at which a pattern occurs among names."""
    return ["".join(found.groups()) for name in names if (found := match(pattern, name))]


def match(pattern: str, name: str) -> re.Match[str] | None:
    """Matches a name with a pattern; the group is the number of the layer."""
    return re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(\d+)"), name)
