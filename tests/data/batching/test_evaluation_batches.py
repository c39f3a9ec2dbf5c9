"""Exact passes: every example once, padding without weight, raw text in the same order."""

import numpy as np
import pytest
import seqio

from lm.data.batching import evaluation_batches
from lm.data.rows import features, packing
from lm.errors import UserError
from lm.train.evaluation import text_bytes
from tests.data import toy

LENGTHS = {"inputs": 16, "targets": 16}


def batches_of(name, batch_size, converter=features.EncoderDecoder, **changes):
    """One pass over the split `validation`."""
    return evaluation_batches.evaluation_batches(
        mixture_or_task_name=name,
        converter=converter,
        batch_size=batch_size,
        **({"lengths": LENGTHS} | changes),
    )


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_every_example_once_in_order(batch_size):
    """Whatever the batch size; the last batch is filled with rows that weigh nothing."""
    name = toy.task("evaluation_once", {"validation": toy.numbered(10)}).name
    made = batches_of(name, batch_size)
    for _ in range(2):
        batches = list(made)
        assert {batch["decoder_target_tokens"].shape for batch in batches} == {(batch_size, 16)}
        weights = np.concatenate([batch["decoder_loss_weights"] for batch in batches])
        rows = np.concatenate([batch["decoder_target_tokens"] for batch in batches])
        assert [toy.text(row) for row in rows[:10]] == made.texts()
        assert weights[10:].sum() == 0
        assert weights.sum() == sum(len(example["targets"]) for example in made.examples)
    assert made.texts("inputs")[3] == "in 3"
    assert made.row_examples.tolist() == list(range(10))


def test_rows_of_a_split_text_belong_to_it():
    """An empty text has no row, a long one several."""
    rows = [{"targets": "a" * 40}, {"targets": ""}, {"targets": "b"}]
    task = toy.task("evaluation_split", {"validation": rows}, features=("targets",))
    task = task.replace(preprocessors=task.preprocessors[:-1], name="evaluation_split_no_eos")
    seqio.TaskRegistry.remove(task.name)
    seqio.TaskRegistry.add_provider(task.name, task)
    made = batches_of(task.name, 2, features.LanguageModel)
    assert made.row_examples.tolist() == [0, 0, 0, 2]
    assert sum(batch["decoder_loss_weights"].sum() for batch in made) == 41


def test_the_size_of_truncated_targets_is_unknown():
    """Their text holds more bytes than the rows predict, so that bits per byte would be too few."""
    rows = [{"inputs": "q", "targets": "abc"}, {"inputs": "q", "targets": "x" * 15}]
    name = toy.task("evaluation_truncated", {"validation": rows}).name
    assert text_bytes(batches_of(name, 2)) == 18
    assert text_bytes(batches_of(name, 2, lengths={"inputs": 16, "targets": 15})) is None
    assert text_bytes(batches_of(name, 2, lengths={"inputs": 16, "targets": 15}, limit=1)) == 3


def test_packed_rows_belong_to_nobody():
    """They still hold everything once."""
    name = toy.task("evaluation_packed", {"validation": toy.numbered(10)}).name
    made = batches_of(name, 2, lambda: features.EncoderDecoder(pack=packing.FirstFit))
    whole = batches_of(name, 2)
    assert len(list(made)) < len(list(whole))
    totals = [sum(b["decoder_loss_weights"].sum() for b in each) for each in (made, whole)]
    assert totals[0] == totals[1]
    with pytest.raises(UserError, match="rows are packed"):
        _ = made.row_examples


def test_limit_takes_the_first_examples():
    """And the raw examples with them."""
    name = toy.task("evaluation_limit", {"validation": toy.numbered(10)}).name
    made = batches_of(name, 4, limit=3)
    assert made.texts() == [example["targets"] for example in toy.numbered(3)]
    assert len(list(made)) == 1


def test_a_mixture_names_its_tasks():
    """It is evaluated task by task."""
    names = [toy.task(f"evaluation_{side}", {"validation": toy.numbered(2)}).name for side in "ab"]
    seqio.MixtureRegistry.remove("evaluation_mixture")
    seqio.MixtureRegistry.add("evaluation_mixture", names, default_rate=1)
    assert evaluation_batches.task_names("evaluation_mixture") == names
    with pytest.raises(UserError, match="name one of its tasks: evaluation_a, evaluation_b"):
        batches_of("evaluation_mixture", 2)
