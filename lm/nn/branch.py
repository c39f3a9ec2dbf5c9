"""The interface of layers in a stack: a branch maps x to the same shape and may have a state.

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
"""Makes a layer when called: a class or function with arguments bound by gin."""

State: TypeAlias = Tree
"""A tree of tensors whose first axis is the batch, except those that `lm.nn.cache` marks as shared
by the sequences of a prompt; `()` if there is no state.

There are two kinds. A state from `initial_state` is for decoding: prefill and steps. A state from
`initial_carry`, called a carry, is for rows that may continue the rows of the last batch."""


class Source(NamedTuple):
    """Another row from which self-attention takes keys and values.

    Attributes:
        x: [B, S, D], the inputs of keys and values.
        positions: int32 [B or 1, S].
        segments: int32 [B, S].
    """

    x: Tensor
    positions: Tensor
    segments: Tensor


class Context(NamedTuple):
    """What a branch may know besides x; read-only, made once per call by the stack.

    Attributes:
        positions: int32 [B, T], distance of every token from the start of its segment.
        segments: int32 [B, T], 1, 2, … for the packed examples of a row and 0 for padding, or None.
            In decoding, 1 marks the tokens that advance a row; None means all.
        mask: bool [B or 1, 1, T, S], True where a query may see a key, or None.
        position_bias: float32 [B or 1, H, T, S], added to attention logits, or None.
        memory: [B, S, D], the input of cross-attention; None once its keys are in the state.
        memory_mask: bool [B, 1, T or 1, S], or None.
        source: `Source` of keys and values of self-attention; None means x itself.
        relative: `funnel_attention.Relative` between queries and keys; None if query t and key t
            are the same token.
        streams: `two_stream_attention.Streams` of a stack that may have two; else None.
        index: int32 [B], positions already in the state; None except in decoding.
        query_positions: int32 [B or 1, T], the position of every query in its row.
        key_positions: int32 [B or 1, S], the same of every key.
        slot: int32 scalar, the first cache slot for new keys; None except in decoding.
        carried: int32 [B], the segment that continues the state, 0 if none does; 1 in decoding,
            None without a state. With a carry, `segments` is never None.
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

    Without a state, a branch processes whole sequences (training, scoring) and returns `()` as
    state. Given a state, it returns the state after the new positions, one or many, so that prefill
    and step are the same call. A carry `()` means no state.

    Branches disable Keras' casting of inputs, which under mixed precision would cast float32 states
    at every call, and cast x themselves.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)

    def build(self, x_shape: Shape) -> None:
        """Creates the variables; sublayers create theirs at their first call.

        Without this `build` Keras would trace `call` to build it, at every level of nesting: the
        cost would double with each level.
        """
        del x_shape

    def initial_state(self, batch: int, length: int) -> State:
        """Returns the state before the first position, for at most `length` positions."""
        del batch, length
        return ()

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first row; `()` if there is none."""
        del batch
        return ()


def refuse_source(branch: Branch, context: Context) -> None:
    """Refuses a stack with a `context.source`, for a branch that cannot use it.

    Raises:
        LayerError: naming the branch.
    """
    if context.source is not None:
        raise LayerError(
            f"{type(branch).__name__} can only read its own row, but this stack has it read a "
            "longer one: use attention instead"
        )


def make(factory: Factory, name: str | None = None) -> Any:
    """Calls a factory with a fixed name, unlike Keras' names, which are numbered globally.

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
