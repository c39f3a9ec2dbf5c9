"""A stack repeats residuals and owns what they share: positions, masks, position bias, slots.

When only shapes are counted (`abridged`), one layer stands for all repeated ones.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import groupby
from typing import Any

from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, chain, make, make_all
from lm.nn.cache import empty_slots
from lm.nn.masks import Mask, both, sees_ahead
from lm.nn.stack_state import Rows, StackState, Standalone, stack_carry
from lm.parts import part
from lm.ranges import PositiveInt
from lm.scoped import scoped
from lm.types import Layer, Tensor

NO_MORE = Rows()


@part
class Stack(Branch):
    """`after(r_n(… r_1(before(position(x)))))`: `num_layers` times the residuals of `layers`.

    Args:
        num_layers: how often the list is repeated, each time with new weights.
        layers: factories of residuals.
        mask: which query may see which key: `masks.causal` or `masks.bidirectional`.
        position: factory of a layer `(x, positions) -> x` for absolute positions, with
            `max_sequence_length` and `check_length`, or None.
        position_bias: factory of a layer `(query, key) -> [B or 1, H, T, S]`, added to the logits
            of every attention of the stack, or None.
        before, after: factories of layers around the whole stack.

    Raises:
        LayerError: if something in `layers` looks ahead and `mask` does not.

    State: `StackState`. Carry: `StackCarry`, `()` if no residual has one.
    """

    def __init__(
        self,
        *,
        num_layers: PositiveInt,
        layers: Sequence[Factory],
        mask: Mask,
        position: Factory | None = None,
        position_bias: Factory | None = None,
        before: Sequence[Factory] = (),
        after: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.mask = mask
        self.position = make(position) if position else None
        self.position_bias = make(position_bias) if position_bias else None
        self.before = make_all(before, "before")
        self.residuals = [
            one for layer in repeat(range(num_layers), layers, "layer") for one in layer
        ]
        self.after = make_all(after, "after")
        if not sees_ahead(mask):
            refuse_looking_ahead(self.residuals)

    @property
    def max_sequence_length(self) -> int | None:
        """Number of learned positions; None if positions are computed."""
        return self.position.max_sequence_length if self.position else None

    def call(self, x: Tensor, rows: Rows = NO_MORE, state: State = None) -> tuple[Tensor, State]:
        """Returns (y [B, T, D], state after).

        Args:
            x: [B, T, D].
            rows: the other inputs of the rows.
            state: `StackState`, `StackCarry` or None.
        """
        kind = state or Standalone()
        context = kind.context(x, rows)
        context = context._replace(
            mask=self.visible(context, rows), position_bias=self.bias(context)
        )
        if self.position:
            x = self.position(x, context.positions)
        x = chain(self.before, x)
        before, states = state.residuals if state else [None] * len(self.residuals), []
        for residual, own in zip(self.residuals, before, strict=True):
            x, after = residual(x, context, state=own)
            states.append(after)
        return chain(self.after, x), kind.after(context, tuple(states))

    def visible(self, context: Context, rows: Rows) -> Tensor:
        """Returns which query sees which key, bool [B or 1, 1, T, S].

        The mask is that of the rows, else of the stack, plus the prefix, within segments only.
        """
        if rows.attention_mask is None:
            mask = self.mask(context.query_positions, context.key_positions)  # [B or 1, T, S]
        else:
            mask = ops.cast(rows.attention_mask, "bool")
        if rows.prefix is not None:
            free = context.key_positions.shape[1] - rows.prefix.shape[1]  # slots beyond the prompt
            mask = ops.logical_or(
                mask, both(rows.prefix, ops.pad(rows.prefix, [[0, 0], [0, free]]))
            )
        mask = mask[:, None]
        return mask if context.mask is None else ops.logical_and(mask, context.mask)

    def bias(self, context: Context) -> Tensor:
        """Returns the position bias, float32 [B or 1, H, T, S], or None."""
        if self.position_bias is None:
            return None
        return self.position_bias(context.query_positions, context.key_positions)

    def initial_state(self, batch: int, length: int) -> StackState:
        if self.position:
            self.position.check_length(length)
        return StackState(
            index=ops.zeros((batch,), "int32"),
            slots=empty_slots(batch, length),
            residuals=tuple(r.initial_state(batch, length) for r in self.residuals),
        )

    def initial_carry(self, batch: int) -> State:
        carry = stack_carry(self.residuals, batch)
        if carry:
            refuse_bounded_positions(self.position)
        return carry


def refuse_bounded_positions(position: Layer | None) -> None:
    """Refuses learned positions for sequences that continue from batch to batch without end."""
    length = getattr(position, "max_sequence_length", None)
    if length is not None:
        owner = type(position).__name__
        raise LayerError(
            f"{owner}.max_sequence_length = {length} limits the positions, but sequences continue "
            "from batch to batch: use position.SinusoidalPosition or a relative position instead, "
            "or data with independent rows"
        )


def refuse_looking_ahead(residuals: Sequence[Layer]) -> None:
    """Refuses layers whose result at a position depends on later ones regardless of the mask.

    Such a layer has an attribute `looks_ahead`, the binding that selects it.
    """
    for residual in residuals:
        for layer in residual._flatten_layers():
            if binding := getattr(layer, "looks_ahead", None):
                raise LayerError(
                    f"{binding}: {type(layer).__name__} depends on later tokens, which "
                    "stack.Stack.mask = @masks.causal hides; bind another one in this stack"
                )


_ABRIDGED: ContextVar[bool] = ContextVar("abridged", default=False)
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def repeat(numbers: range, factories: Sequence[Factory], name: str) -> list[list[Layer]]:
    """Makes a list of layers for each number, named `<name>_<number>_<index in the list>`.

    Inside `abridged` one list stands for all, with the range of numbers in place of the number.

    Example:
        >>> [[layer.name] for [layer] in repeat(range(3), [keras.layers.Identity], "layer")]
        [['layer_0_0'], ['layer_1_0'], ['layer_2_0']]
        >>> with abridged():
        ...     [[layer.name] for [layer] in repeat(range(3), [keras.layers.Identity], "layer")]
        [['layer_0..2_0']]
    """
    labels = [str(number) for number in numbers]
    if _ABRIDGED.get() and len(labels) > 1:
        labels = [f"{labels[0]}..{labels[-1]}"]
    return [
        [make(factory, f"{name}_{label}_{i}") for i, factory in enumerate(factories)]
        for label in labels
    ]


def abridged() -> AbstractContextManager[None]:
    """Makes `repeat` build only one list, for models that are traced and counted, not run."""
    return scoped(_ABRIDGED, value=True)


def times(path: str) -> int:
    """Returns how many layers a path or name scope stands for.

    Example:
        >>> times("gpt2/decoder/layer_0..11_0/attention/kernel"), times("gpt2/embedding")
        (12, 1)
    """
    return math.prod(int(last) - int(first) + 1 for first, last in _RANGE.findall(path))


def unabridged(variables: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yields (path, value) of all variables that abridged ones stand for, in order.

    Example:
        >>> list(unabridged([("l_0/w", 5), ("l_1..2/w", 7), ("l_1..2/b", 8), ("head", 9)]))
        [('l_0/w', 5), ('l_1/w', 7), ('l_1/b', 8), ('l_2/w', 7), ('l_2/b', 8), ('head', 9)]
    """
    for head, layer in groupby(variables, key=lambda variable: _up_to_a_range(variable[0])):
        found = _RANGE.search(head)
        if found is None:
            yield from layer
            continue
        inside = [(path[found.end() :], what) for path, what in layer]
        for number in range(int(found[1]), int(found[2]) + 1):
            name = f"{head[: found.start()]}{number}"
            yield from unabridged((name + rest, what) for rest, what in inside)


def _up_to_a_range(path: str) -> str:
    """Returns the part of a path up to its first range; empty if it has none."""
    found = _RANGE.search(path)
    return path[: found.end()] if found else ""
