"""Beam search against all sequences there are."""

import numpy as np
import pytest
from keras import ops

from lm.decode.beam import BeamSearch
from lm.decode.sampling import Sampling, greedy
from tests.decode.trigram import EOS, VOCABULARY_SIZE, Trigram, inputs, sequences

PROMPTS = [[2, 3], [3], []]
LENGTH = 4


def found(decoded, row):
    """Returns [(tokens, score)] of a row, the best first."""
    tokens, lengths, _, scores = (ops.convert_to_numpy(x) for x in decoded)
    return [
        (tokens[row, n, : lengths[row, n]].tolist(), float(scores[row, n]))
        for n in range(len(scores[row]))
        if np.isfinite(scores[row, n])
    ]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.4])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_beam_as_wide_as_the_tree_finds_every_sequence_in_order(alpha, seed):
    model = Trigram(seed)
    beam = VOCABULARY_SIZE**LENGTH
    search = BeamSearch(beam_size=beam, max_new_tokens=LENGTH, eos_id=EOS, alpha=alpha)
    decoded = search(model, inputs(PROMPTS))
    for row, prompt in enumerate(PROMPTS):
        expected = [
            (tokens, log_prob / ((5 + len(tokens)) / 6) ** alpha)
            for tokens, log_prob in sequences(model, prompt, LENGTH)
        ]
        expected.sort(key=lambda pair: -pair[1])
        result = found(decoded, row)
        assert len(result) == len(expected)
        np.testing.assert_allclose(
            [score for _, score in result], [score for _, score in expected], rtol=1e-5
        )
        assert [tokens for tokens, _ in result[:5]] == [tokens for tokens, _ in expected[:5]]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(alpha):
    for seed in range(3):
        model = Trigram(seed)
        one = BeamSearch(beam_size=1, max_new_tokens=7, eos_id=EOS, alpha=alpha)
        first = Sampling(sampler=greedy, max_new_tokens=7, eos_id=EOS)
        beam, step_by_step = one(model, inputs(PROMPTS)), first(model, inputs(PROMPTS))
        np.testing.assert_array_equal(beam.tokens, step_by_step.tokens)
        np.testing.assert_array_equal(beam.lengths, step_by_step.lengths)
        np.testing.assert_allclose(beam.log_probs, step_by_step.log_probs, rtol=1e-5)


def test_scores_are_those_of_the_sequences_and_fall():
    model = Trigram(3)
    search = BeamSearch(beam_size=3, max_new_tokens=6, eos_id=EOS, alpha=0.6)
    decoded = search(model, inputs(PROMPTS))
    for row, prompt in enumerate(PROMPTS):
        known = {tuple(tokens): log_prob for tokens, log_prob in sequences(model, prompt, 6)}
        result = found(decoded, row)
        scores = [score for _, score in result]
        expected = [known[tuple(tokens)] / ((5 + len(tokens)) / 6) ** 0.6 for tokens, _ in result]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(tokens) for tokens, _ in result}) == 3


def test_it_stops_when_all_rows_are_done():
    class Counting(Trigram):
        steps = 0

        def step(self, tokens, state):
            Counting.steps += 1
            return super().step(tokens, state)

    model = Counting()
    table = np.full((4, 4, 4), -9.0)
    table[..., EOS], table[..., 2] = 9, 5
    model.table.assign(table)
    search = BeamSearch(beam_size=2, max_new_tokens=50, eos_id=EOS)
    decoded = search(model, inputs(PROMPTS))
    assert found(decoded, 0)[0][0] == [EOS]
    assert Counting.steps < 5


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="beam_size"):
        BeamSearch(beam_size=0, max_new_tokens=1, eos_id=1)
    with pytest.raises(ValueError, match="alpha"):
        BeamSearch(beam_size=1, max_new_tokens=1, eos_id=1, alpha=-1)
