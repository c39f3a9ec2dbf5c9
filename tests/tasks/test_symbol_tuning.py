"""Symbol tuning: pools, prompts, settings, algorithmic tasks."""

import collections
import random

import pytest

pytest.importorskip("seqio")

from lm.data.registry import task_registry
from lm.errors import UserError
from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.template import Example
from tasks.symbol_tuning import algorithms, examples, symbols, tables
from tasks.symbol_tuning.prompts import FORMATS, Item, by_class, prompt

OPTIONS = ("bad", "good", "so-so")


class ToyOrigin:
    """Sixty texts of three classes."""

    data_set = DataSet("sick", options=OPTIONS)
    splits = ("train", "test")

    def examples(self, split):
        return [
            Example({"text": f"{split} text {n}", "answer": OPTIONS[n % 3]}, OPTIONS, ())
            for n in range(60)
        ]


def everything(pool):
    yield from map(str, pool.integers)
    yield from map(symbols.letters, pool.letters)
    yield from map(symbols.word, pool.words)


def test_the_pools_are_large_and_disjoint():
    tuning, evaluation = (set(everything(pool)) for pool in (symbols.TUNING, symbols.EVALUATION))
    assert (len(tuning), len(evaluation)) == (30_000, 270_000)
    assert not tuning & evaluation


def test_letters_are_bijective_base_26():
    goldens = {1: "A", 26: "Z", 27: "AA", 702: "ZZ", 703: "AAA", 10_000: "NTP", 10_001: "NTQ"}
    assert {rank: symbols.letters(rank) for rank in goldens} == goldens
    assert symbols.letters(100_000) == "EQXD"


def test_the_three_kinds_are_drawn_equally_often():
    chance = random.Random(0)
    kinds = collections.Counter()
    for _ in range(3000):
        symbol = symbols.TUNING.symbol(chance)
        kinds[symbol.isdigit(), symbol.isupper()] += 1
    assert len(kinds) == 3
    assert min(kinds.values()) > 900


def test_a_prompt_is_balanced_shuffled_and_without_its_query():
    classes = by_class([Item(f"text{n}.", n % 2) for n in range(40)])
    orders = set()
    for seed in range(20):
        text = prompt(Item("text0.", 0), classes, ["AB", "CD"], shots=4, chance=random.Random(seed))
        assert text.count("text") == 9
        assert text.count("text0.") == 1
        assert text.count("AB") == text.count("CD") == 4
        orders.add(
            "".join(label for word in text.split() for label in ("AB", "CD") if label in word)
        )
    assert len(orders) > 10
    assert len(set(FORMATS)) == 10


def test_long_texts_leave_fewer_exemplars_of_every_class():
    classes = by_class([Item(f"{n:03d}" * 300, n % 2) for n in range(40)])
    text = prompt(Item("query", 0), classes, ["AB", "CD"], shots=10, chance=random.Random(0))
    assert text.count("AB") == text.count("CD") == 3


def test_training_prompts_map_anew_with_tuning_symbols():
    made = list(examples.training(ToyOrigin()))
    assert len(made) == 60
    targets = {record["targets"] for record in made}
    assert len(targets) > 50
    assert targets <= set(everything(symbols.TUNING))
    assert all(record["targets"] in record["inputs"] for record in made)


@pytest.mark.parametrize("setting", ["both", "labels", "instructions", "neither"])
def test_the_four_settings(setting):
    made = list(examples.evaluation(ToyOrigin(), setting, rank=False))
    instruction = tables.INSTRUCTIONS["sick"]
    has_instruction, kind = tables.SETTINGS[setting]
    for record in made:
        assert record["inputs"].startswith(instruction) == has_instruction
        assert (record["targets"] in OPTIONS) == (kind == "names")
        assert record["inputs"].count("train text") == 12
    ranked = list(examples.evaluation(ToyOrigin(), setting, rank=True))
    assert len(ranked) == 3 * len(made)
    assert [record["targets"] for record in ranked if record["is_correct"]] == [
        record["targets"] for record in made
    ]


def test_flipping_exchanges_two_names():
    chance = random.Random(0)
    data_set = DataSet("x", options=("no", "yes"))
    assert examples._labels(data_set, ("no", "yes"), "flipped", chance) == ["yes", "no"]
    with pytest.raises(UserError, match="sick has 3 classes"):
        examples._labels(ToyOrigin.data_set, OPTIONS, "flipped", chance)


def test_there_are_22_sets_to_tune_on_11_to_evaluate_and_none_in_both():
    assert (len(set(tables.TRAIN)), len(set(tables.EVALUATION))) == (22, 11)
    assert not set(tables.TRAIN) & {*tables.EVALUATION, *tables.LOCAL_EVALUATION}
    assert {*tables.TRAIN, *tables.INSTRUCTIONS} <= set(data_sets())
    for name in list(tables.all_names())[::7]:
        assert task_registry.find(name).name == name


def test_functions_of_lists_and_bits():
    lists = list(algorithms.made("list_functions"))
    assert len(lists) == 8 * len(algorithms.LIST_FUNCTIONS)
    assert lists[0]["inputs"].count("Output:") == 5
    assert {record["targets"][0] for record in lists} == {"["}
    assert {*"".join(record["targets"] for record in algorithms.made("turing_concepts"))} <= {*"01"}


def test_held_functions(data_dir):
    assert len(list(algorithms.held("list_functions"))) == 125 * 8
    assert 10 < len(list(algorithms.held("turing_concepts"))) < 200
