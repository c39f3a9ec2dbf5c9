"""Caches against NumPy: what is written where, and which sequence sees it."""

import numpy as np
import pytest

from lm.nn.cache import NEVER, Cache, Slots, by_prompt, empty_slots, enter, write
from tests.built import noise
from tests.engine import numpy

B, N, H, T, L = 2, 3, 2, 4, 20


@pytest.mark.parametrize("count", [1, T])
@pytest.mark.parametrize("sequences", [1, N])
def test_new_keys_stand_sequence_after_sequence_from_the_slot_on(sequences, count):
    cache, new = noise(1, B, H, L), noise(2, B * sequences, H, count)
    expected = cache.copy()
    for row in range(B * sequences):
        first = 5 + row % sequences * count
        expected[row // sequences, :, first : first + count] = new[row]
    found = write(Cache((cache, cache + 1)), (new, new + 1), np.int32(5))
    np.testing.assert_array_equal(numpy(found.tree[0]), expected)
    np.testing.assert_array_equal(numpy(found.tree[1]), expected + 1)


def test_a_row_enters_its_own_places_alone():
    slots = Slots(np.full((N, 6), 7, "int32"), np.eye(N, dtype=bool), np.int32(2))
    found = numpy(enter(slots, np.array([[10], [11], [12]], "int32")).positions)
    assert found.tolist() == [
        [7, 7, 10, NEVER, NEVER, 7],
        [7, 7, NEVER, 11, NEVER, 7],
        [7, 7, NEVER, NEVER, 12, 7],
    ]


def test_an_empty_table_holds_no_place():
    slots = empty_slots(2, 3)
    assert (numpy(slots.positions) == NEVER).all()
    assert numpy(slots.next) == 0


def test_one_text_of_a_prompt_is_left_as_it_is():
    x = noise(1, B, H, T)
    assert by_prompt(x, B) is x
