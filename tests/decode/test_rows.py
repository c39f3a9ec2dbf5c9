"""Rows of a state: repeated, expanded, reordered; what is shared stays."""

import numpy as np

from lm.decode.rows import expand, reorder, repeat
from lm.nn.cache import NEVER, Cache, Shared, Slots
from tests.engine import numpy

POSITIONS = np.array([[0, 1, NEVER], [0, NEVER, NEVER]], "int32")
STATE = (
    np.array([5, 6]),
    (Cache(np.ones((2, 1, 3, 4))), Shared(np.zeros((2, 8)))),
    Slots(POSITIONS, np.ones((2, 1), bool), np.int32(2)),
)


def test_repeated_rows_have_caches_of_their_own():
    own, (cache, shared), slots = repeat(STATE, 2)
    assert numpy(own).tolist() == [5, 5, 6, 6]
    assert cache.tree.shape == (4, 1, 3, 4)
    assert shared.tree.shape == (2, 8)
    np.testing.assert_array_equal(numpy(slots.positions), np.repeat(POSITIONS, 2, axis=0))
    assert slots.is_own.shape == (4, 1)


def test_expanded_rows_share_caches_with_slots_for_each():
    own, (cache, shared), slots = expand(STATE, 2, new_slots=1)
    assert numpy(own).tolist() == [5, 5, 6, 6]
    assert cache.tree.shape == (2, 1, 4, 4)
    assert shared.tree.shape == (2, 8)
    assert numpy(slots.positions)[1].tolist() == [0, 1, NEVER, NEVER]
    assert numpy(slots.is_own).tolist() == [[True, False], [False, True]] * 2


def test_reordered_rows_inherit_positions_and_keep_their_slots():
    state = expand(STATE, 2, new_slots=1)
    own, (cache, _), slots = reorder((np.arange(4), *state[1:]), np.array([[1, 1], [0, 1]]))
    assert numpy(own).tolist() == [1, 1, 2, 3]
    assert cache is state[1][0]
    np.testing.assert_array_equal(slots.is_own, state[2].is_own)
