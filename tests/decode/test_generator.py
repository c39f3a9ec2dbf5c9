"""Batches, buckets, seeds and streams, compiled."""

import numpy as np
import pytest

from lm.decode.beam import BeamSearch
from lm.decode.choose import drawn_from, greedy
from lm.decode.generator import Generator, Stream
from lm.decode.loop import Sampling
from lm.decode.prompts import answered, continued, translated
from lm.errors import UserError
from tests.decode.trigram import EOS, Trigram

PROMPTS = [[2], [3, 2, 0, 2, 2], [], [3, 3], [2, 0, 3]]


def generator(pick=greedy, model=None, batch_size=4, longest=None, eos_id=EOS):
    return Generator(
        model=model or Trigram(6),
        search=Sampling(pick=pick, max_new_tokens=6, eos_id=eos_id),
        features=continued,
        batch_size=batch_size,
        longest=longest,
    )


@pytest.mark.parametrize("pick", [greedy, drawn_from([])], ids=["greedy", "sample"])
def test_a_batch_equals_its_prompts_alone(pick):
    model = Trigram(6)
    together = generator(pick, model)(PROMPTS, seed=5)
    in_pairs = generator(pick, model, batch_size=2)(PROMPTS, seed=5)
    assert [texts[0].tokens for texts in together] == [texts[0].tokens for texts in in_pairs]
    np.testing.assert_allclose(
        [texts[0].score for texts in together], [texts[0].score for texts in in_pairs], rtol=1e-5
    )


def test_another_length_in_the_bucket_traces_nothing():
    model = Trigram(6)
    generate = generator(model=model)
    generate(PROMPTS[:4])
    traced = model.starts
    generate([[3] * 15, [2], [2, 2], [3]])
    assert model.starts == traced
    generate([[3] * 16, [2], [2, 2], [3]])
    assert model.starts > traced


def test_changed_weights_count_without_compiling_again():
    model = Trigram(6)
    generate = generator(model=model)
    before, traced = generate(PROMPTS[:2]), model.starts
    table = np.full((4, 4, 4), -9.0)
    table[..., 3] = 9
    model.table.assign(table)
    assert generate(PROMPTS[:2])[0][0].tokens == [3] * 6 != before[0][0].tokens
    assert model.starts == traced


def test_a_seed_repeats_and_another_differs():
    generate = generator(drawn_from([]), eos_id=-1)
    first, again, other = (generate(PROMPTS[:4], seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_beam_returns_its_best_texts_for_every_prompt():
    search = BeamSearch(beam_size=3, max_new_tokens=5, eos_id=EOS, alpha=0.6)
    texts = Generator(model=Trigram(6), search=search, features=continued, batch_size=2)(PROMPTS)
    assert [len(candidates) for candidates in texts] == [3] * len(PROMPTS)
    assert all(c[0].score >= c[1].score >= c[2].score for c in texts)


def test_a_stream_ends_with_what_a_call_returns():
    generate = generator(drawn_from([]), eos_id=-1)
    pieces = list(Stream(generate, chunk=4)([3, 2], seed=9))
    whole = generate([[3, 2]], seed=9)[0][0]
    assert [piece.tokens for piece in pieces] == [whole.tokens[:4], whole.tokens]
    assert abs(pieces[-1].log_prob - whole.log_prob) < 1e-5


def test_a_beam_cannot_stream():
    search = BeamSearch(beam_size=2, max_new_tokens=5, eos_id=EOS)
    with pytest.raises(UserError, match="stream"):
        Stream(Generator(model=Trigram(), search=search, features=continued, batch_size=1))


def test_a_prompt_that_does_not_fit_is_named():
    generate = generator(longest=5)
    assert generate([[2] * 4])
    with pytest.raises(UserError, match="prompt 2 has 5 tokens"):
        generate([[2], [2] * 5])


def test_features_say_what_is_padding():
    features = answered([[5, 6], [7]], 4)
    assert features["decoder_input_tokens"].tolist() == [[0, 5, 6, 0], [0, 7, 0, 0]]
    assert features["decoder_causal_attention"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert translated([[5, 6]], 3)["encoder_segment_ids"].tolist() == [[1, 1, 0]]
