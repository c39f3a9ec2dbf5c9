"""Slots at the experts: which token gets which, and how tokens reach them and come back.

Beside the letters of `lm.nn.routers`: C slots of an expert for a group, P = E · C slots of a group.
Tokens are brought to their slots and back by gathering, in both directions and in both passes: no
tensor has tokens, experts and slots as axes, and all shapes are known to the compiler.
"""

from typing import Any, NamedTuple

from keras import ops

from lm.nn.routers import Choices, Competition

LONGEST_SINGLE_TURN = 16
"""Tokens of a row up to which each has a slot of its own: reading the experts takes longer."""
LOAD = 4
"""Choices that share a slot, where tokens are spread evenly over experts."""


class Assigned(NamedTuple):
    """The slots of the choices.

    Attributes:
        slot: int32 [G, S, K], expert · C + slot at the expert; E · C where a choice is dropped.
        turn: int32 [G, S, K], tokens of one slot are computed one after the other; None where each
            has a slot of its own.
        slots: C.
    """

    slot: Any
    turn: Any
    slots: int


def queue(choices: Choices, competition: Competition, num_experts: int, slots: int) -> Assigned:
    """Gives every choice the next free slot at its expert: all first choices, then all second.

    Where an expert has as many slots as the group has tokens, each token has its own, and no
    token's slot depends on another token.

    Args:
        choices: of the router.
        competition: padding takes no slot, and slots are as many as its real tokens bring.
        num_experts: E.
        slots: C, of a group without padding.
    """
    tokens, count = choices.expert.shape[1:]
    if slots >= tokens:
        return own_slot(choices, num_experts, tokens)
    wants = requests(choices, num_experts)  # [G, S, K, E]
    line = ops.reshape(ops.transpose(wants, (0, 2, 1, 3)), (-1, count * tokens, num_experts))
    before = ops.sum((ops.cumsum(line, axis=1) - line) * line, axis=-1)
    slot = ops.transpose(ops.reshape(before, (-1, count, tokens)), (0, 2, 1))
    counts = ops.sum(ops.cast(competition.real, "int32"), axis=1)  # [G]
    free = ops.take(competition.slots, counts)[:, None, None]
    kept = ops.logical_and(choices.requested, slot < free)
    return Assigned(slot_or_dropped(choices.expert, slot, kept, num_experts, slots), None, slots)


def in_turns(choices: Choices, num_experts: int) -> Assigned:
    """Gives token s the slot `s mod C` at each of its experts, and drops nothing.

    Of the tokens that share a slot the first has turn 0, the next turn 1, … So where in a product a
    token lies depends on no other token; only in which turn does, and every turn is the same
    program. With `LOAD` choices for a slot, on average, the fullest has some three times as many:
    so many times the products of the chosen experts are made, where a slot for each token would
    take E / K times.
    """
    tokens, count = choices.expert.shape[1:]
    if tokens <= LONGEST_SINGLE_TURN:
        return own_slot(choices, num_experts, tokens)
    slots = -(-tokens * count // (LOAD * num_experts))
    filled = tokens + -tokens % slots
    wants = ops.sum(requests(choices, num_experts), axis=2)  # [G, S, E], 0 or 1
    wants = ops.pad(wants, [[0, 0], [0, filled - tokens], [0, 0]])
    wants = ops.reshape(wants, (-1, filled // slots, slots, num_experts))
    before = ops.reshape(ops.cumsum(wants, axis=1) - wants, (-1, filled, num_experts))
    turn = ops.take_along_axis(before[:, :tokens], choices.expert, axis=-1)  # [G, S, K]
    lane = ops.arange(tokens, dtype="int32")[:, None] % slots
    slot = slot_or_dropped(choices.expert, lane, choices.requested, num_experts, slots)
    return Assigned(slot, turn, slots)


def own_slot(choices: Choices, num_experts: int, tokens: int) -> Assigned:
    """Gives token s slot s at each of its experts."""
    lane = ops.arange(tokens, dtype="int32")[:, None]
    slot = slot_or_dropped(choices.expert, lane, choices.requested, num_experts, tokens)
    return Assigned(slot, None, tokens)


def slot_or_dropped(expert: Any, slot: Any, kept: Any, num_experts: int, slots: int) -> Any:
    """Returns the slot among those of all experts, E · C where it is not kept."""
    return ops.where(kept, expert * slots + slot, num_experts * slots)


def requests(choices: Choices, num_experts: int) -> Any:
    """Returns 1 at the expert of each choice that is requested, int32 [G, S, K, E]."""
    hot = ops.one_hot(choices.expert, num_experts, dtype="int32")
    return hot * ops.cast(choices.requested, "int32")[..., None]


def inverse(slot: Any, dropped: int) -> Any:
    """Returns the choice at each slot, int32 [G, P]; S · K at free slots.

    >>> print(np.asarray(inverse(ops.array([[[2], [4], [0]]]), 4)))
    [[2 3 0 3]]
    """
    groups, choices = ops.shape(slot)[0], slot.shape[1] * slot.shape[2]
    first = ops.arange(groups, dtype="int32")[:, None] * (dropped + 1)
    flat = ops.reshape(slot, (-1, choices)) + first
    choice = ops.broadcast_to(ops.arange(choices, dtype="int32"), ops.shape(flat))
    free = ops.full((groups * (dropped + 1),), choices, dtype="int32")
    filled = ops.scatter_update(free, ops.reshape(flat, (-1, 1)), ops.reshape(choice, (-1,)))
    return ops.reshape(filled, (groups, dropped + 1))[:, :dropped]


def taken(x: Any, index: Any) -> Any:
    """Returns x[g, index[g, i]], [G, N, D] → [G, I, D]; an index of N takes 0."""
    padded = ops.pad(x, [[0, 0], [0, 1], [0, 0]])
    return ops.take_along_axis(padded, index[..., None], axis=1)


def by_choice(y: Any, slot: Any) -> Any:
    """Returns y[g, slot[g, s, k]], [G, P, D] → [G, S, K, D]; 0 where a choice is dropped."""
    _, tokens, choices = slot.shape
    found = taken(y, ops.reshape(slot, (-1, tokens * choices)))
    return ops.reshape(found, (-1, tokens, choices, y.shape[-1]))


@ops.custom_gradient
def to_slots(x: Any, chosen: Any, slot: Any) -> Any:
    """Returns x of the token at each slot, [G, S, D] → [G, P, D]; the gradient gathers too."""
    return taken(x, chosen // slot.shape[2]), lambda *args, upstream=None: (
        ops.sum(by_choice(args[0] if upstream is None else upstream, slot), axis=2),
        None,
        None,
    )


@ops.custom_gradient
def from_slots(y: Any, chosen: Any, slot: Any) -> Any:
    """Returns y at the slot of each choice, [G, P, D] → [G, S, K, D]; the gradient gathers too."""

    def gradient(*args: Any, upstream: Any = None) -> tuple[Any, None, None]:
        upstream = args[0] if upstream is None else upstream
        flat = ops.reshape(upstream, (-1, slot.shape[1] * slot.shape[2], y.shape[-1]))
        return taken(flat, chosen), None, None

    return by_choice(y, slot), gradient
