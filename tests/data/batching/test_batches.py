"""Length buckets: the same rows, less padding, few widths, and a position that is restored."""

import collections

import numpy as np
import pytest

from lm.data.rows import features
from lm.errors import UserError
from tests.data import toy
from tests.data.batching.test_pipeline import make, same, texts

LENGTHS = {"inputs": 8, "targets": 16}
WIDTHS = [4, 8]


@pytest.fixture
def task():
    rows = [{"inputs": "i", "targets": f"{n:x}" * (1 + n % 13)} for n in range(1, 16)]
    return toy.task("buckets_task", {"train": rows}).name


def bucketed(task, **changes):
    settings = {"length_buckets": WIDTHS, "lengths": LENGTHS, "batch_size": 2} | changes
    return make(task, converter=features.EncoderDecoder, **settings)


def test_rows_are_cut_to_the_narrowest_width_that_holds_them(task):
    batches = bucketed(task)
    widths = set()
    for _ in range(40):
        batch = next(batches)
        used = max(
            (batch[f"{side}_segment_ids"] > 0).sum(1).max() for side in ("encoder", "decoder")
        )
        width = batch["decoder_input_tokens"].shape[1]
        assert width == next(w for w in [*WIDTHS, 16] if used <= w)
        assert batch["encoder_input_tokens"].shape == (2, min(width, 8))
        assert batch["decoder_loss_weights"].sum() == (batch["decoder_segment_ids"] > 0).sum()
        widths.add(width)
    assert widths == {4, 8, 16}
    assert batches.features["decoder_input_tokens"].shape == (2, 16)


def test_no_example_is_lost_or_preferred_and_padding_shrinks(task):
    counts, padding = [], []
    for widths in ((), WIDTHS):
        batches = bucketed(task, length_buckets=widths, shuffle_buffer=1)
        made = [next(batches) for _ in range(75)]
        counts.append(collections.Counter(text for batch in made for text in texts(batch)))
        places = np.concatenate([batch["decoder_segment_ids"].ravel() for batch in made])
        padding.append(float(np.mean(places == 0)))
    assert counts[0].keys() == counts[1].keys() and len(counts[1]) == 15
    assert max(counts[1].values()) - min(counts[1].values()) <= 1
    assert padding[1] < padding[0] / 2


def test_the_position_is_restored(task):
    batches = bucketed(task)
    for _ in range(5):
        next(batches)
    state = batches.state()
    expected = [next(batches) for _ in range(9)]
    again = bucketed(task)
    again.restore(state)
    assert all(same(batch, next(again)) for batch in expected)
    with pytest.raises(UserError, match="length_buckets"):
        bucketed(task, length_buckets=[4]).restore(state)


@pytest.mark.parametrize("widths", [[8, 4], [0, 4], [4, 16]])
def test_widths_that_do_not_rise_are_refused(task, widths):
    with pytest.raises(UserError, match="must be increasing, above 0 and below 16"):
        bucketed(task, length_buckets=widths)
