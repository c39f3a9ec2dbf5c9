"""In-context prompts: balanced and shuffled exemplars and a query, in one format with given labels.

All random choices come from a hash of the query, so the same data give the same prompts everywhere.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tasks.flan.data_set import DataSet
from tasks.flan.template import Example


class Format(NamedTuple):
    """The text before an input, before a label, and between exemplars."""

    before_input: str
    before_label: str
    between: str = "\n\n"

    def pair(self, text: str, label: str = "") -> str:
        """Returns an input with its label; without a label, the text that leads to it."""
        return f"{self.before_input}{text}{self.before_label}{label}"


FORMATS = (
    Format("Input: ", "\nOutput: "),
    Format("Q: ", "\nA: "),
    Format("Text: ", "\nLabel: "),
    Format("X = ", "\nY = "),
    Format("", " -> ", "\n"),
    Format("Teacher: ", "\nPupil: "),
    Format("Given: ", "\nSymbol: "),
    Format("[", "] => ", "\n"),
    Format("Case: ", "\nDecision: "),
    Format("- ", " is mapped to ", "\n"),
)

Classes = Mapping[int, Sequence[str]]


class Item(NamedTuple):
    """A text, and the index of its class."""

    text: str
    label: int


class Prompt(NamedTuple):
    """The parts of a prompt, of which exemplars may be dropped so that it fits a row.

    Attributes:
        head: the text before the exemplars.
        exemplars: the exemplars in order, each with the text after it.
        turns: the turn of each exemplar; those of the last turns are dropped first.
        query: the query.
    """

    head: str
    exemplars: list[str]
    turns: list[int]
    query: str

    def text(self, turns: int) -> str:
        """Returns the prompt with the exemplars of the first turns."""
        pairs = zip(self.exemplars, self.turns, strict=True)
        return "".join([self.head, *(pair for pair, turn in pairs if turn < turns), self.query])

    def within(self, fits: Callable[[str], bool]) -> str:
        """Returns the prompt with as many turns as fit; always with the query."""
        turns = max(self.turns, default=-1) + 1
        while turns and not fits(self.text(turns)):
            turns -= 1
        return self.text(turns)


def item(data_set: DataSet, example: Example) -> Item:
    r"""Returns an example as an item; answers that belong to the example become part of the text.

    Example:
        >>> own = {"goal": "Open it.", "answer": "Pull."}
        >>> item(DataSet("doors", ()), Example(own, ("Push.", "Pull."), ("Pull.",)))
        Item(text='goal: Open it.\nchoice 1: Push.\nchoice 2: Pull.', label=1)
    """
    fields = {name: text for name, text in example.texts.items() if name != "answer"}
    if not data_set.options:
        fields |= {f"choice {number}": text for number, text in enumerate(example.options, 1)}
    lines = [f"{name}: {text}" for name, text in fields.items()]
    text = "\n".join(lines if len(lines) > 1 else fields.values())
    return Item(text, example.options.index(example.texts["answer"]))


def by_class(items: Sequence[Item]) -> Classes:
    """Returns the texts of each class."""
    found: dict[int, list[str]] = {}
    for text, label in items:
        found.setdefault(label, []).append(text)
    return dict(sorted(found.items()))


def prompt(
    query: Item,
    classes: Classes,
    labels: Sequence[str],
    *,
    shots: int,
    instruction: str = "",
    chance: random.Random,
) -> Prompt:
    """Returns the exemplars of all classes in random order, followed by the query.

    Args:
        query: the query; never among the exemplars.
        classes: for each class, the texts to draw exemplars from.
        labels: label text of each class.
        shots: exemplars per class.
        instruction: text before everything else.
        chance: random source for format, exemplars and order.
    """
    form = chance.choice(FORMATS)
    drawn = {label: _drawn(texts, query.text, shots, chance) for label, texts in classes.items()}
    turns = _turns(drawn, query.label)
    pairs = [
        (form.pair(text, labels[label]) + form.between, turn)
        for label, texts in drawn.items()
        for text, turn in zip(texts, turns[label], strict=True)
    ]
    chance.shuffle(pairs)
    return Prompt(
        head=f"{instruction}\n\n" if instruction else "",
        exemplars=[pair for pair, _ in pairs],
        turns=[turn for _, turn in pairs],
        query=form.pair(query.text).rstrip(" "),
    )


def _drawn(texts: Sequence[str], query: str, shots: int, chance: random.Random) -> list[str]:
    drawn = chance.sample(texts, min(shots + 1, len(texts)))
    return [text for text in drawn if text != query][:shots]


def _turns(drawn: Classes, first: int) -> dict[int, list[int]]:
    """Returns the turn of each text, by class: the shorter a text, the earlier.

    A turn takes a text of every class. Only the first text of a class has a turn of its own, so
    that of many classes those that fit are left, the class `first` among them.

    Example:
        >>> _turns({0: ["long", "a"], 1: ["b", "longer"]}, first=1)
        {1: [0, 2], 0: [2, 1]}
    """
    classes = sorted(drawn, key=lambda label: label != first)
    turns = {}
    for own, label in enumerate(classes):
        ranks = np.argsort(np.argsort([len(text) for text in drawn[label]], kind="stable"))
        turns[label] = [len(classes) - 1 + rank if rank else own for rank in ranks.tolist()]
    return turns
