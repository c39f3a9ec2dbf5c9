"""Symbol tuning: pools, prompts, settings, algorithmic tasks."""

import collections
import random
import re
from functools import partial

import pytest

pytest.importorskip("seqio")

import seqio

from lm.data.registry import task_registry
from lm.data.storage import sources
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.template import Example
from tasks.symbol_tuning import algorithms, examples, register, symbols, tables
from tasks.symbol_tuning.prompts import FORMATS, Item, Prompt, by_class, prompt
from tasks.zero_shot import instructed

OPTIONS = ("bad", "good", "so-so")


class ToyOrigin:
    """Sixty texts of three classes."""

    data_set = DataSet("sick", options=OPTIONS)
    splits = ("train", "test")

    def require(self, split):
        assert split in self.splits

    def examples(self, split):
        return [
            Example({"text": f"{split} text {n}", "answer": OPTIONS[n % 3]}, OPTIONS, ())
            for n in range(60)
        ]


class LongOrigin(ToyOrigin):
    """The same with longer texts."""

    def examples(self, split):
        return [
            one._replace(texts={**one.texts, "text": f"{one.texts['text']} ".ljust(90, "-")})
            for one in super().examples(split)
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
        made = prompt(Item("text0.", 0), classes, ["AB", "CD"], shots=4, chance=random.Random(seed))
        text = made.within(lambda text: True)
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
    made = prompt(Item("query", 0), classes, ["AB", "CD"], shots=10, chance=random.Random(0))
    text = made.within(lambda text: len(text) <= 6_000)
    assert text.count("AB") == text.count("CD") == 3
    assert made.within(lambda text: False) == made.query


def test_the_longest_exemplars_are_dropped_first():
    classes = by_class([Item("x" * n, n % 2) for n in range(100, 108)])
    made = prompt(Item("query", 0), classes, ["AB", "CD"], shots=4, chance=random.Random(0))
    text = made.within(lambda text: len(text) <= 600)
    assert {len(run) for run in re.findall("x+", text)} == {100, 101, 102, 103}


def test_of_many_classes_those_that_fit_are_left_and_the_querys_among_them():
    classes = by_class([Item(f"{n:03d}" * 30, n) for n in range(9)])
    labels = [f"<{n}>" for n in range(9)]
    made = prompt(Item("query", 7), classes, labels, shots=4, chance=random.Random(0))
    text = made.within(lambda text: len(text) <= 500)
    assert text.count("<") == 4
    assert "<7>" in text


@pytest.mark.parametrize("length", [300, 640])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_row_ends_with_its_query(split, length):
    name = f"long_{split}_{length}"
    made = {"train": examples.training, "test": partial(examples.evaluation, setting="neither")}
    records = partial(made[split], LongOrigin(), **({"rank": False} if split == "test" else {}))
    register._add_task(name, sources.examples_source(name, {split: records}, fingerprint=dict))
    lengths = {"inputs": length, "targets": 16}
    rows = list(seqio.get_mixture_or_task(name).get_dataset(lengths, split, shuffle=False))
    assert len(rows) == 60
    for number, row in enumerate(rows):
        ids = row["inputs"].numpy().tolist()
        *_, query = byte_vocabulary().decode(ids).rpartition(f"{split} text ")
        assert query.startswith(f"{number} ")
        assert "-" * 70 in query
        assert ids[-1] == 1
        assert len(ids) <= length < len(ids) + 3 * 120  # another turn would not fit


def test_the_prompts_of_a_suite_fit_the_model():
    asked = instructed._symbol_set(LongOrigin(), "both")
    whole = [len(one.contexts[0]) for one in asked.questions()]
    found = list(asked.within(lambda text, answer: len(text + answer) <= 800))
    assert min(whole) > 800
    assert len(found) == 60
    for number, (contexts, answers, correct, *_) in enumerate(found):
        assert max(map(len, contexts)) + max(map(len, answers)) <= 800
        assert f"test text {number} " in contexts[0].rpartition("train")[2]
        assert (answers, correct) == (OPTIONS, (number % 3,))


def whole(record):
    """Returns the prompt of a record with all of its exemplars."""
    return Prompt(*(record[part] for part in Prompt._fields)).within(lambda text: True)


def test_training_prompts_map_anew_with_tuning_symbols():
    made = list(examples.training(ToyOrigin()))
    assert len(made) == 60
    targets = {record["targets"] for record in made}
    assert len(targets) > 50
    assert targets <= set(everything(symbols.TUNING))
    assert all(record["targets"] in whole(record) for record in made)


@pytest.mark.parametrize("setting", ["both", "labels", "instructions", "neither"])
def test_the_four_settings(setting):
    made = list(examples.evaluation(ToyOrigin(), setting, rank=False))
    instruction = tables.INSTRUCTIONS["sick"]
    has_instruction, kind = tables.SETTINGS[setting]
    for record in made:
        assert whole(record).startswith(instruction) == has_instruction
        assert (record["targets"] in OPTIONS) == (kind == "names")
        assert whole(record).count("train text") == 12
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
