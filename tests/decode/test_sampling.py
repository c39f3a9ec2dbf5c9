"""Greedy search, sampling and sample-and-rank on a model small enough to enumerate."""

import numpy as np

from lm.decode.sampling import Sampling, greedy, make_sampler, temperature, top_k, top_p
from tests.decode.trigram import EOS, Trigram, inputs, log_probs, sequences

PROMPTS = [[2, 3], [3], []]


def arrays(decoded):
    return [np.asarray(x) for x in decoded]


def test_greedy_takes_the_most_probable_token_until_the_end():
    model = Trigram(4)
    tokens, lengths, totals, _ = arrays(
        Sampling(sampler=greedy, max_new_tokens=6, eos_id=EOS)(model, inputs(PROMPTS))
    )
    table = log_probs(model)
    for row, prompt in enumerate(PROMPTS):
        history, total = [0, 0, *prompt], 0.0
        while len(history) < len(prompt) + 8 and history[-1] != EOS:
            total += table[history[-2], history[-1]].max()
            history.append(int(table[history[-2], history[-1]].argmax()))
        made = history[2 + len(prompt) :]
        assert tokens[row, 0, : lengths[row, 0]].tolist() == made
        assert not tokens[row, 0, lengths[row, 0] :].any()
        np.testing.assert_allclose(totals[row, 0], total, rtol=1e-5)


def test_without_an_end_token_every_row_is_full():
    search = Sampling(sampler=greedy, max_new_tokens=9, eos_id=-1)
    _, lengths, _, _ = arrays(search(Trigram(4), inputs(PROMPTS)))
    assert (lengths == 9).all()


def test_log_probs_are_the_models_at_any_temperature_and_filter():
    model = Trigram(5)
    sampler = make_sampler([temperature(2.0), top_k(3), top_p(0.9)])
    search = Sampling(sampler=sampler, max_new_tokens=5, eos_id=EOS, num_samples=6)
    tokens, lengths, totals, scores = arrays(search(model, inputs(PROMPTS, seed=11)))
    for row, prompt in enumerate(PROMPTS):
        known = {tuple(tokens): log_prob for tokens, log_prob in sequences(model, prompt, 5)}
        made = [tuple(tokens[row, n, : lengths[row, n]].tolist()) for n in range(6)]
        np.testing.assert_allclose(totals[row], [known[tokens] for tokens in made], rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_samples_differ_and_one_sample_is_the_first_of_many():
    model, sampler = Trigram(5), make_sampler([])
    many = Sampling(sampler=sampler, max_new_tokens=8, eos_id=-1, num_samples=4)
    one = Sampling(sampler=sampler, max_new_tokens=8, eos_id=-1)
    sequences_of_many = arrays(many(model, inputs(PROMPTS, seed=2)))[0]
    sequences_of_one = arrays(one(model, inputs(PROMPTS, seed=2)))[0]
    for row in range(len(PROMPTS)):
        made = sequences_of_many[row].tolist()
        assert len({tuple(tokens) for tokens in made}) > 1
        assert sequences_of_one[row, 0].tolist() in made
