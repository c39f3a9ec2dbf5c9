"""Search over the real models, tiny, their weights at random."""

import keras
import numpy as np
import pytest
from keras import ops

from lm.decode.beam import BeamSearch
from lm.decode.model_inputs import (
    causal_pairs,
    causal_prompts,
    encoder_pairs,
    encoder_prompts,
    prefix_pairs,
    prefix_prompts,
)
from lm.decode.sampling import Sampling, greedy, make_sampler
from tests import built

PROMPTS = [[5, 9, 12], [7, 3, 8, 30, 2, 11, 4], [21]]
LENGTH = 5
KINDS = [
    ("gpt2", causal_prompts, causal_pairs),
    ("rotary", prefix_prompts, prefix_pairs),
    ("gau", causal_prompts, causal_pairs),
    ("flash", causal_prompts, causal_pairs),
    ("primer", causal_prompts, causal_pairs),
    ("evolved_transformer", encoder_prompts, encoder_pairs),
    ("t5", encoder_prompts, encoder_pairs),
    ("transformer", encoder_prompts, encoder_pairs),
    ("seq2seq_lstm", encoder_prompts, encoder_pairs),
]


# Of each kind one in the suite: what a state must do is in the catalogue's tests, for every model.
QUICK = {"gpt2", "rotary", "t5"}
PARAMS = [
    pytest.param(kind, marks=() if kind[0] in QUICK else pytest.mark.slow, id=kind[0])
    for kind in KINDS
]


@pytest.fixture(params=PARAMS)
def kind(request):
    name, prompt, row = request.param
    return built.model(name), prompt, row


def sequences(model, prompt, search, prompts):
    """Returns [[tokens]] of each prompt; not compiled, as compiling takes longer than running."""
    rows = np.arange(len(prompts), dtype="int32")
    inputs = {**prompt(prompts, 8), "rows": rows, "seed": np.array(1, "int32")}
    decoded = search(model, keras.tree.map_structure(ops.convert_to_tensor, inputs))
    tokens, lengths = (ops.convert_to_numpy(x) for x in decoded[:2])
    return [
        [row[: lengths[i, n]].tolist() for n, row in enumerate(found)]
        for i, found in enumerate(tokens)
    ]


def test_greedy_search_takes_what_the_whole_row_finds_most_probable(kind):
    model, prompt, row = kind
    search = Sampling(sampler=greedy, max_new_tokens=LENGTH, eos_id=-1)
    made = [found[0] for found in sequences(model, prompt, search, PROMPTS)]
    features = row(list(zip(PROMPTS, made, strict=True)), 7, LENGTH)
    best = ops.convert_to_numpy(ops.argmax(model(features), axis=-1))
    for i, tokens in enumerate(made):
        assert best[i][features["decoder_loss_weights"][i] > 0].tolist() == tokens


SEARCHES = {
    "sampling": Sampling(sampler=make_sampler([]), max_new_tokens=LENGTH, eos_id=1),
    "beam": BeamSearch(beam_size=3, max_new_tokens=LENGTH, eos_id=1, alpha=0.6),
}


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_prompts_in_one_batch_equal_one_by_one(kind, search):
    model, prompt, _ = kind
    together = sequences(model, prompt, search, PROMPTS)
    assert together[:1] == sequences(model, prompt, search, PROMPTS[:1])
    assert together[:2] == sequences(model, prompt, search, PROMPTS[:2])


@pytest.mark.slow
def test_a_beam_of_one_is_greedy(kind):
    model, prompt, _ = kind
    one = BeamSearch(beam_size=1, max_new_tokens=LENGTH, eos_id=1, alpha=0.6)
    first = Sampling(sampler=greedy, max_new_tokens=LENGTH, eos_id=1)
    assert sequences(model, prompt, one, PROMPTS) == sequences(model, prompt, first, PROMPTS)
