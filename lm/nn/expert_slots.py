"""Slots of experts: assigning tokens to slots, and dispatching tokens to experts and back.

Besides the letters of `lm.nn.routers`: C slots of an expert for a group, P = E · C slots of a
group. Dispatch and combine are gathers, in the forward and the backward pass: no tensor has tokens,
experts and slots as axes, and all shapes are static for the compiler.
"""

from typing import NamedTuple

from keras import ops

from lm.nn.routing import Choices, Competition
from lm.types import Tensor

MAX_TOKENS_OF_ONE_ROUND = 16
"""Up to this many tokens per row, each gets a slot of its own: reading the experts dominates."""
CHOICES_PER_SLOT = 4
"""Average number of choices that share a slot, with an even load."""


class Assigned(NamedTuple):
    """The slots of the choices.

    Attributes:
        slot: int32 [G, S, K], expert · C + slot at the expert; E · C where a choice is dropped.
        round: int32 [G, S, K], the round of each choice, if tokens share slots; else None.
        slots: C.
    """

    slot: Tensor
    round: Tensor
    slots: int


def queue(choices: Choices, competition: Competition, num_experts: int, slots: int) -> Assigned:
    """Assigns every choice to the next free slot of its expert: first choices first, then second.

    If an expert has as many slots as the group has tokens, each token has its own slot, independent
    of the other tokens.

    Args:
        choices: of the router.
        competition: padding takes no slots; the real tokens determine the number of slots.
        num_experts: E.
        slots: C, of a group without padding.
    """
    tokens, count = choices.expert.shape[1:]
    if slots >= tokens:
        return own_slot(choices, num_experts, tokens)
    requested = requests(choices, num_experts)  # [G, S, K, E]
    line = ops.transpose(requested, (0, 2, 1, 3))  # all first choices before all second
    line = ops.reshape(line, (-1, count * tokens, num_experts))  # [G, K·S, E]
    before = ops.sum((ops.cumsum(line, axis=1) - line) * line, axis=-1)  # [G, K·S]
    slot = ops.transpose(ops.reshape(before, (-1, count, tokens)), (0, 2, 1))  # [G, S, K]
    num_real = ops.sum(ops.cast(competition.real, "int32"), axis=1)  # [G]
    capacity = ops.take(competition.slots, num_real)[:, None, None]
    fits = ops.logical_and(choices.requested, slot < capacity)
    return Assigned(slot_or_dropped(choices.expert, slot, fits, num_experts, slots), None, slots)


def in_rounds(choices: Choices, num_experts: int) -> Assigned:
    """Assigns token s to the slot `s mod C` of each of its experts; drops nothing.

    Tokens that share a slot are computed in successive rounds. So the row in which a token is
    computed does not depend on other tokens; only its round does, and every round is the same
    program. With `CHOICES_PER_SLOT` on average, the fullest slot has about three times as many, so
    this computes about three times the products of the chosen experts; a slot for each token would
    need E / K times as many.
    """
    tokens, count = choices.expert.shape[1:]
    if tokens <= MAX_TOKENS_OF_ONE_ROUND:
        return own_slot(choices, num_experts, tokens)
    slots = -(-tokens * count // (CHOICES_PER_SLOT * num_experts))
    padded = tokens + -tokens % slots
    requested = ops.sum(requests(choices, num_experts), axis=2)  # [G, S, E], 0 or 1
    requested = ops.pad(requested, [[0, 0], [0, padded - tokens], [0, 0]])
    requested = ops.reshape(requested, (-1, padded // slots, slots, num_experts))
    before = ops.cumsum(requested, axis=1) - requested  # of the tokens with the same slot
    before = ops.reshape(before, (-1, padded, num_experts))[:, :tokens]
    round = ops.take_along_axis(before, choices.expert, axis=-1)  # [G, S, K]
    lane = ops.arange(tokens, dtype="int32")[:, None] % slots
    slot = slot_or_dropped(choices.expert, lane, choices.requested, num_experts, slots)
    return Assigned(slot, round, slots)


def own_slot(choices: Choices, num_experts: int, tokens: int) -> Assigned:
    """Assigns token s to slot s of each of its experts."""
    lane = ops.arange(tokens, dtype="int32")[:, None]
    slot = slot_or_dropped(choices.expert, lane, choices.requested, num_experts, tokens)
    return Assigned(slot, None, tokens)


def slot_or_dropped(
    expert: Tensor, slot: Tensor, fits: Tensor, num_experts: int, slots: int
) -> Tensor:
    """Returns the index of the slot among those of all experts; E · C for a dropped choice."""
    return ops.where(fits, expert * slots + slot, num_experts * slots)


def requests(choices: Choices, num_experts: int) -> Tensor:
    """Returns 1 at the expert of each choice that is requested, int32 [G, S, K, E]."""
    one_hot = ops.one_hot(choices.expert, num_experts, dtype="int32")
    return one_hot * ops.cast(choices.requested, "int32")[..., None]


def inverse(slot: Tensor, dropped: int) -> Tensor:
    """Returns the choice at each slot, int32 [G, P]; S · K at free slots.

    >>> print(np.asarray(inverse(ops.array([[[2], [4], [0]]]), 4)))
    [[2 3 0 3]]
    """
    groups, choices = ops.shape(slot)[0], slot.shape[1] * slot.shape[2]
    # One scatter for all groups, each with an extra last slot for dropped choices.
    first = ops.arange(groups, dtype="int32")[:, None] * (dropped + 1)
    flat = ops.reshape(slot, (-1, choices)) + first
    choice = ops.broadcast_to(ops.arange(choices, dtype="int32"), ops.shape(flat))
    free = ops.full((groups * (dropped + 1),), choices, dtype="int32")
    filled = ops.scatter_update(free, ops.reshape(flat, (-1, 1)), ops.reshape(choice, (-1,)))
    return ops.reshape(filled, (groups, dropped + 1))[:, :dropped]


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Returns x[g, index[g, i]], [G, N, D] → [G, I, D]; 0 where the index is N."""
    padded = ops.pad(x, [[0, 0], [0, 1], [0, 0]])
    return ops.take_along_axis(padded, index[..., None], axis=1)


def by_choice(y: Tensor, slot: Tensor) -> Tensor:
    """Returns y[g, slot[g, s, k]], [G, P, D] → [G, S, K, D]; 0 where a choice is dropped."""
    _, tokens, choices = slot.shape
    gathered = gather(y, ops.reshape(slot, (-1, tokens * choices)))
    return ops.reshape(gathered, (-1, tokens, choices, y.shape[-1]))


@ops.custom_gradient
def to_slots(x: Tensor, chosen: Tensor, slot: Tensor) -> Tensor:
    """Returns x of the token at each slot, [G, S, D] → [G, P, D]; the gradient gathers too."""

    def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, None, None]:
        upstream = args[0] if upstream is None else upstream
        return ops.sum(by_choice(upstream, slot), axis=2), None, None

    return gather(x, chosen // slot.shape[2]), gradient


@ops.custom_gradient
def from_slots(y: Tensor, chosen: Tensor, slot: Tensor) -> Tensor:
    """Returns y at the slot of each choice, [G, P, D] → [G, S, K, D]; the gradient gathers too."""

    def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, None, None]:
        upstream = args[0] if upstream is None else upstream
        flat = ops.reshape(upstream, (-1, slot.shape[1] * slot.shape[2], y.shape[-1]))
        return gather(flat, chosen), None, None

    return by_choice(y, slot), gradient
