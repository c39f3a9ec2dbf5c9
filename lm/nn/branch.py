"""The one interface of the house: a branch maps x to x of the same shape and may carry a state.

Shapes by letter, here and in every file of `lm.nn`:
    B batch, T new positions, S keys (memory positions or cache slots), L capacity of a cache,
    D width, H heads, K head width, F hidden width, V vocabulary.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from lm.errors import LayerError

Factory = Callable[..., Any]
"""Makes a part when it is called: a class or function that gin has bound arguments of."""

State = Any
"""A tree of tensors that lead with the batch axis, but for those that `lm.nn.cache` marks as shared
by the texts of a prompt; `()` where nothing is kept.

There are two kinds. With the state of `initial_state` a branch decodes: prefill and step. With that
of `initial_carry` it reads a row that may go on where the row of the last batch stopped; such a
state is called a carry."""


class Source(NamedTuple):
    """A row that self-attention reads in place of its own.

    Attributes:
        x: [B, S, D], what keys and values are made of.
        positions: int32 [B or 1, S].
        segments: int32 [B, S].
    """

    x: Any
    positions: Any
    segments: Any


class Context(NamedTuple):
    """What a branch may know beside x: read only, made by the stack once per call.

    Attributes:
        positions: int32 [B, T], distance of every token from the start of its segment.
        segments: int32 [B, T], 1, 2, … for the packed examples of a row and 0 for padding, or None.
            In decoding 1 marks the tokens that advance a row, and None says that all do.
        mask: bool [B or 1, 1, T, S], True where a query may look at a key, or None.
        position_bias: float32 [B or 1, H, T, S], added to attention logits, or None.
        memory: [B, S, D], what cross-attention reads; None once its keys are in the state.
        memory_mask: bool [B, 1, T or 1, S], or None.
        source: `Source`, what self-attention reads; None is x itself.
        relative: `funnel_attention.Relative` between the queries and what they read; None where
            query t and key t are one token.
        index: int32 [B], positions already in the state; None but in decoding.
        key_places: int32 [B or 1, S], the place in the row of every key.
        slot: int32 scalar, where in the caches new keys are written; None but in decoding.
        carried: int32 [B], the segment that goes on with what the state holds, 0 where none does:
            1 in decoding. None without a state. Beside a carry there are always segments.
    """

    positions: Any = None
    segments: Any = None
    mask: Any = None
    position_bias: Any = None
    memory: Any = None
    memory_mask: Any = None
    source: Source | None = None
    relative: Any = None
    index: Any = None
    key_places: Any = None
    slot: Any = None
    carried: Any = None


class Branch(keras.layers.Layer):
    """`(x, context, state) -> (y, state)` with y shaped like x.

    Without a state the whole sequence is seen at once (training, scoring) and `()` comes back.
    Given a state, a branch returns the state after the new positions, be they one or many, so
    that prefill and step are the same call. A carry `()` is as no state.

    A branch does not let Keras cast its inputs: under mixed precision that would cast float32
    states at every entry. It casts x itself.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)

    def build(self, x_shape: Any) -> None:
        """Makes the variables; what is made of other layers leaves that to their first calls.

        Without a `build` of ours Keras would trace `call` at every level of nesting, twice as often
        per level.
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
            f"{type(branch).__name__} reads its own row alone, and this stack has it read a longer "
            "one: bind an attention in its place"
        )


def make(factory: Factory, name: str | None = None) -> Any:
    """Calls a factory with a name that does not depend on what the process built before.

    >>> make(keras.layers.Identity).name
    'identity'
    """
    return factory(name=name or snake_case(factory.__name__))


def make_all(factories: Any, prefix: str) -> list[Any]:
    """Makes a list of layers named `<prefix>_<class>`; repeated classes are numbered."""
    layers: list[Any] = []
    for factory in factories:
        name = f"{prefix}_{snake_case(factory.__name__)}"
        repeats = sum(layer.name.startswith(name) for layer in layers)
        layers.append(make(factory, f"{name}_{repeats}" if repeats else name))
    return layers


def chain(layers: list[Any], x: Any) -> Any:
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
