"""The one interface of the layers: a branch maps x to x of the same shape and may carry a state.

Shapes by letter, here and in every file of `lm.nn`:
    B batch, T new positions, S keys (memory positions or cache slots), L capacity of a cache,
    D width, H heads, K head width, F hidden width, V vocabulary.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras

from lm.errors import LayerError
from lm.types import Layer, Shape, Tensor, Tree

Factory: TypeAlias = Callable[..., Any]
"""Makes a part when it is called: a class or function whose arguments gin has bound."""

State: TypeAlias = Tree
"""Tensors that lead with the batch axis, except those that `lm.nn.cache` marks as shared by the
sequences of a prompt; `()` where nothing is kept.

There are two kinds. With the state of `initial_state` a branch decodes: prefill and step. With that
of `initial_carry` it reads a row that may continue the row of the last batch; such a state is
called a carry."""


class Source(NamedTuple):
    """A row that self-attention reads in place of its own.

    Attributes:
        x: [B, S, D], what keys and values are projected from.
        positions: int32 [B or 1, S].
        segments: int32 [B, S].
    """

    x: Tensor
    positions: Tensor
    segments: Tensor


class Context(NamedTuple):
    """What a branch may know besides x: read only, made by the stack once per call.

    Attributes:
        positions: int32 [B, T], distance of every token from the start of its segment.
        segments: int32 [B, T], 1, 2, … for the packed examples of a row and 0 for padding, or None.
            In decoding 1 marks the tokens that advance a row, and None means that all do.
        mask: bool [B or 1, 1, T, S], True where a query may see a key, or None.
        position_bias: float32 [B or 1, H, T, S], added to attention logits, or None.
        memory: [B, S, D], what cross-attention reads; None once its keys are in the state.
        memory_mask: bool [B, 1, T or 1, S], or None.
        source: `Source`, what self-attention reads; None is x itself.
        relative: `funnel_attention.Relative` between the queries and what they read; None where
            query t and key t are one token.
        streams: `two_stream_attention.Streams` of a stack that may have two; else None.
        index: int32 [B], positions already in the state; None except in decoding.
        query_positions: int32 [B or 1, T], the position of every query in its row.
        key_positions: int32 [B or 1, S], the same of every key.
        slot: int32 scalar, where in the caches new keys are written; None except in decoding.
        carried: int32 [B], the segment that continues what the state holds, 0 where none does: 1
            in decoding. None without a state. With a carry there are always segments.
    """

    positions: Tensor = None
    segments: Tensor = None
    mask: Tensor = None
    position_bias: Tensor = None
    memory: Tensor = None
    memory_mask: Tensor = None
    source: Source | None = None
    relative: Any = None
    streams: Any = None
    index: Tensor = None
    query_positions: Tensor = None
    key_positions: Tensor = None
    slot: Tensor = None
    carried: Tensor = None


class Branch(keras.layers.Layer):
    """`(x, context, state) -> (y, state)` with y shaped like x.

    Without a state the whole sequence is seen at once (training, scoring) and `()` comes back.
    Given a state, a branch returns the state after the new positions, be they one or many, so
    that prefill and step are the same call. A carry `()` is the same as no state.

    A branch does not let Keras cast its inputs: under mixed precision that would cast float32
    states at every entry. It casts x itself.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)

    def build(self, x_shape: Shape) -> None:
        """Creates the variables; sublayers create theirs at their first call.

        Without a `build` here Keras would trace `call` once per level of nesting, and every level
        would double the cost.
        """
        del x_shape

    def initial_state(self, batch: int, length: int) -> State:
        """Returns the state before the first position, for at most `length` positions."""
        del batch, length
        return ()

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first row, `()` where nothing crosses batches."""
        del batch
        return ()


def refuse_source(branch: Branch, context: Context) -> None:
    """Refuses a stack in which the branch would have to read another row than its own.

    Raises:
        LayerError: naming the branch.
    """
    if context.source is not None:
        raise LayerError(
            f"{type(branch).__name__} reads only its own row, and this stack has it read a "
            "longer one: bind an attention in its place"
        )


def make(factory: Factory, name: str | None = None) -> Any:
    """Calls a factory with a name that does not depend on what the process built before.

    >>> make(keras.layers.Identity).name
    'identity'
    """
    return factory(name=name or snake_case(factory.__name__))


def make_all(factories: Sequence[Factory], prefix: str) -> list[Layer]:
    """Makes a list of layers named `<prefix>_<class>`; repeated classes are numbered."""
    layers: list[Layer] = []
    for factory in factories:
        name = f"{prefix}_{snake_case(factory.__name__)}"
        repeats = sum(layer.name.startswith(name) for layer in layers)
        layers.append(make(factory, f"{name}_{repeats}" if repeats else name))
    return layers


def chain(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Applies layers in order."""
    for layer in layers:
        x = layer(x)
    return x


def snake_case(name: str) -> str:
    """Returns a class name as Keras would name its instance.

    >>> snake_case("RMSNorm"), snake_case("SelfAttention")
    ('rms_norm', 'self_attention')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
