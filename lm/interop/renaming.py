"""Tables of tensor names: their name, ours, and the order of axes."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lm.errors import UserError

Tensors = Mapping[str, np.ndarray]


class Rule(NamedTuple):
    """One of their tensors, and our variables that it holds, concatenated.

    Attributes:
        theirs: their name; `{i}` is the number of a layer.
        ours: paths of our variables with the same `{i}`; several are concatenated along the last
            axis.
        order: permutation of the axes, () for none.
    """

    theirs: str
    ours: tuple[str, ...]
    order: tuple[int, ...] = ()


class Family(NamedTuple):
    """The tensor names of one model type.

    Attributes:
        rules: one per tensor.
        prefix: prefix of names, missing in models without a head.
        copies: tied tensor -> its original; dropped if the two are equal.
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
        if not has_rank(tensor, rule):
            raise UserError(f"{name} has the shape {list(tensor.shape)}, which no such tensor has")
        parts = np.split(transposed(tensor, rule), len(rule.ours), axis=-1)
        paths = (path.replace("{i}", layer) for path in rule.ours)
        ours |= zip(paths, parts, strict=True)
    return ours


def to_theirs(family: Family, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns our weights under their names; tied tensors are written only once.

    Raises:
        UserError: if a variable has no rule.
    """
    theirs: dict[str, np.ndarray] = {}
    remaining = dict(weights)
    for rule in family.rules:
        for layer in layers(rule.ours[0], weights):
            parts = [remaining.pop(path.replace("{i}", layer)) for path in rule.ours]
            # A single variable is written without a copy.
            tensor = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
            theirs[rule.theirs.replace("{i}", layer)] = transposed(tensor, rule)
    if remaining:
        raise UserError(f"no name for the variable {sorted(remaining)[0]} in this model type")
    return theirs


def has_rank(tensor: np.ndarray, rule: Rule) -> bool:
    """Returns whether a tensor can be permuted and split as a rule says."""
    rank = len(rule.order) or tensor.ndim
    return tensor.ndim == rank > 0 and tensor.shape[-1] % len(rule.ours) == 0


def their_name(family: Family, path: str) -> str:
    """Returns the name of the tensor that holds a variable, or the path if none does."""
    for rule in family.rules:
        for ours in rule.ours:
            if found := match(ours, path):
                return rule.theirs.replace("{i}", "".join(found.groups()))
    return path


def transposed(tensor: np.ndarray, rule: Rule) -> np.ndarray:
    """Permutes the axes; every order in use is its own inverse."""
    return np.transpose(tensor, rule.order) if rule.order else tensor


def distinct(family: Family, tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the tensors under full names, without buffers and tied copies."""
    full = {full_name(family, name): tensor for name, tensor in tensors.items()}
    if len(full) < len(tensors):
        raise UserError("the file has a tensor twice, with and without a prefix")
    for name, tensor in full.items():
        original = full.get(family.copies.get(name, ""))
        is_copy = original is not None and np.array_equal(original, tensor)
        if not is_copy and not any(match(pattern, name) for pattern in family.unused):
            yield name, tensor


def full_name(family: Family, name: str) -> str:
    """Returns the name with the prefix that models without a head lack, and without `model.`."""
    known = [rule.theirs for rule in family.rules] + [*family.unused, *family.copies]
    bare = name.removeprefix("model.")
    spelled = (name, family.prefix + name, bare, family.prefix + bare)
    fits = (s for s in spelled if any(match(pattern, s) for pattern in known))
    return next(fits, family.prefix + name)


def find(family: Family, name: str) -> tuple[Rule, str]:
    """Returns the rule of a tensor, and the number of its layer as text."""
    for rule in family.rules:
        if found := match(rule.theirs, name):
            return rule, "".join(found.groups())
    raise UserError(f"no variable for the tensor {name}: it belongs to no model of this type")


def layers(pattern: str, names: Tensors) -> list[str]:
    """Returns the layer numbers, as text, for which a pattern occurs among names."""
    return ["".join(found.groups()) for name in names if (found := match(pattern, name))]


def match(pattern: str, name: str) -> re.Match[str] | None:
    """Matches a name against a pattern; the group is the layer number."""
    return _compiled(pattern).fullmatch(name)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Returns the regular expression of a pattern, cached: a table of experts has thousands."""
    return re.compile(re.escape(pattern).replace(r"\{i\}", r"(\d+)"))
