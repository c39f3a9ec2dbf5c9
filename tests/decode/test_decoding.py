"""Which settings mean which search, and which exclude each other."""

import pytest

from lm.decode.beam import BeamSearch
from lm.decode.decoding import Decoding
from lm.decode.sampling import Sampling, greedy
from lm.errors import UserError


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"temperature": None}])
def test_nothing_asked_is_greedy(settings):
    search = Decoding(**settings).search(eos_id=1)
    assert isinstance(search, Sampling)
    assert search.sampler is greedy


def test_a_beam_is_asked_for_by_its_size():
    search = Decoding(beam_size=3, alpha=0.6).search(eos_id=1)
    assert isinstance(search, BeamSearch)
    assert (search.beam_size, search.alpha) == (3, 0.6)


@pytest.mark.parametrize("settings", [{"top_k": 5}, {"top_p": 0.9}, {"num_samples": 4}])
def test_a_setting_of_sampling_asks_for_it(settings):
    decoding = Decoding(**settings)
    assert decoding.search(eos_id=1).sampler is not greedy
    assert decoding.settings() == {"max_new_tokens": 128, "temperature": 1.0, **settings}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 2, "top_k": 5}, "beam_size = 2"),
        ({"temperature": 0, "top_k": 5}, "temperature = 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 2.0}, "top_p"),
        ({"alpha": -0.1, "beam_size": 2}, "alpha"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Decoding(**settings)
