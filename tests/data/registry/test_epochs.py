"""Steps from epochs."""

import pytest
import seqio

from lm.data.registry import epochs
from lm.errors import UserError
from tests.data import toy


@pytest.mark.parametrize(
    ("passes", "batch_size", "expected"), [(1, 4, 3), (3, 4, 8), (0.3, 4, 1), (0, 4, 1), (2, 20, 1)]
)
def test_steps_round_up_over_all_passes(passes, batch_size, expected):
    toy.task("counted", {"train": toy.numbered(10)})
    assert epochs.steps(task="counted", epochs=passes, batch_size=batch_size) == expected


def test_a_mixture_counts_all_of_its_tasks_and_other_splits_are_refused():
    for name, count in (("counted_a", 6), ("counted_b", 3)):
        toy.task(name, {"train": toy.numbered(count)})
    seqio.MixtureRegistry.remove("counted_both")
    seqio.MixtureRegistry.add("counted_both", ["counted_a", "counted_b"], default_rate=1.0)
    assert epochs.steps(task="counted_both", epochs=2, batch_size=3) == 6
    with pytest.raises(UserError, match="has no split 'validation'"):
        epochs.steps(task="counted_a", epochs=1, batch_size=1, split="validation")
