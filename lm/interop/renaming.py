"""Tables of names: what another library calls a tensor, what we call it, how its axes lie."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lm.errors import UserError

Tensors = Mapping[str, np.ndarray]


class Rule(NamedTuple):
    """One tensor of theirs and the variables of ours that lie side by side in it.

    Attributes:
        theirs: name, `{i}` stands for the number of a layer.
        ours: variable paths with the same `{i}`; several share the last axis of the tensor.
        order: the axes of ours as axes of theirs, () for the same order.
    """

    theirs: str
    ours: tuple[str, ...]
    order: tuple[int, ...] = ()


class Family(NamedTuple):
    """The names of one model type.

    Attributes:
        rules: one per tensor.
        prefix: what bare models leave out of their names.
        copies: tied tensors by the name of their original; left out where they equal it.
        unused: tensors without a counterpart here, e.g. buffers.
    """

    rules: tuple[Rule, ...]
    prefix: str
    copies: Mapping[str, str]
    unused: tuple[str, ...]


def same(theirs: str, *ours: str) -> Rule:
    """A tensor whose axes lie as ours."""
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
        parts = np.split(turn(tensor, rule), len(rule.ours), axis=-1)
        paths = (path.replace("{i}", layer) for path in rule.ours)
        ours |= zip(paths, parts, strict=True)
    return ours


def to_theirs(family: Family, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our weights under their names; what they tie is written once.

    Raises:
        UserError: if a variable has no rule.
    """
    theirs: dict[str, np.ndarray] = {}
    left = dict(weights)
    for rule in family.rules:
        for layer in layers(rule.ours[0], weights):
            parts = [left.pop(path.replace("{i}", layer)) for path in rule.ours]
            tensor = turn(np.concatenate(parts, axis=-1), rule)
            theirs[rule.theirs.replace("{i}", layer)] = tensor
    if left:
        raise UserError(f"no name for the variable {sorted(left)[0]} in this model type")
    return theirs


def turn(tensor: np.ndarray, rule: Rule) -> np.ndarray:
    """Exchanges the axes; the orders in use are their own inverse."""
    return np.transpose(tensor, rule.order) if rule.order else tensor


def distinct(family: Family, tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the tensors under full names, without buffers and without copies of tied ones."""
    full = {full_name(family, name): tensor for name, tensor in tensors.items()}
    for name, tensor in full.items():
        original = full.get(family.copies.get(name, ""))
        copied = original is not None and np.array_equal(original, tensor)
        if not copied and not any(match(pattern, name) for pattern in family.unused):
            yield name, tensor


def full_name(family: Family, name: str) -> str:
    """Returns the name with the prefix that bare models leave out."""
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
