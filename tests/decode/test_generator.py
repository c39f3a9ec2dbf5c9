"""Batches, buckets, seeds and streams, compiled."""

import numpy as np
import pytest

from lm.decode.beam import BeamSearch
from lm.decode.generator import Generator, Stream
from lm.decode.model_inputs import causal_prompts, encoder_prompts, prefix_prompts
from lm.decode.sampling import Sampling, greedy, make_sampler
from lm.errors import UserError
from tests.decode.trigram import EOS, Trigram

PROMPTS = [[2], [3, 2, 0, 2, 2], [], [3, 3], [2, 0, 3]]


def generator(sampler=greedy, model=None, batch_size=4, max_prompt_length=None, eos_id=EOS):
    return Generator(
        model=model or Trigram(6),
        search=Sampling(sampler=sampler, max_new_tokens=6, eos_id=eos_id),
        packer=causal_prompts,
        batch_size=batch_size,
        max_prompt_length=max_prompt_length,
    )


@pytest.mark.parametrize("sampler", [greedy, make_sampler([])], ids=["greedy", "sample"])
def test_a_batch_equals_its_prompts_alone(sampler):
    model = Trigram(6)
    together = generator(sampler, model)(PROMPTS, seed=5)
    in_pairs = generator(sampler, model, batch_size=2)(PROMPTS, seed=5)
    assert [found[0].tokens for found in together] == [found[0].tokens for found in in_pairs]
    np.testing.assert_allclose(
        [found[0].score for found in together], [found[0].score for found in in_pairs], rtol=1e-5
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
    generate = generator(make_sampler([]), eos_id=-1)
    first, again, other = (generate(PROMPTS[:4], seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_beam_returns_its_best_sequences_for_every_prompt():
    search = BeamSearch(beam_size=3, max_new_tokens=5, eos_id=EOS, alpha=0.6)
    found = Generator(model=Trigram(6), search=search, packer=causal_prompts, batch_size=2)(PROMPTS)
    assert [len(candidates) for candidates in found] == [3] * len(PROMPTS)
    assert all(c[0].score >= c[1].score >= c[2].score for c in found)


def test_a_stream_ends_with_what_a_call_returns():
    generate = generator(make_sampler([]), eos_id=-1)
    pieces = list(Stream(generate, chunk=4)([3, 2], seed=9))
    whole = generate([[3, 2]], seed=9)[0][0]
    assert [piece.tokens for piece in pieces] == [whole.tokens[:4], whole.tokens]
    assert abs(pieces[-1].log_prob - whole.log_prob) < 1e-5


def test_a_beam_cannot_stream():
    search = BeamSearch(beam_size=2, max_new_tokens=5, eos_id=EOS)
    with pytest.raises(UserError, match="stream"):
        Stream(Generator(model=Trigram(), search=search, packer=causal_prompts, batch_size=1))


def test_a_prompt_that_does_not_fit_is_named():
    generate = generator(max_prompt_length=5)
    assert generate([[2] * 4])
    with pytest.raises(UserError, match="prompt 2 has 5 tokens"):
        generate([[2], [2] * 5])


def test_features_say_what_is_padding():
    features = prefix_prompts([[5, 6], [7]], 4)
    assert features["decoder_input_tokens"].tolist() == [[0, 5, 6, 0], [0, 7, 0, 0]]
    assert features["decoder_causal_attention"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert encoder_prompts([[5, 6]], 3)["encoder_segment_ids"].tolist() == [[1, 1, 0]]
