"""In-context prompts: balanced and shuffled exemplars and a query, in one format with given labels.

All random choices come from a hash of the query, so the same data give the same prompts everywhere.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.flan.data_set import DataSet
from tasks.flan.template import Example

MOST_CHARACTERS = 6_000


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
) -> str:
    """Returns the exemplars of all classes in random order, followed by the query.

    Args:
        query: the query; never among the exemplars.
        classes: for each class, the texts to draw exemplars from.
        labels: label text of each class.
        shots: exemplars per class; fewer, the same for every class, if they would be too long.
        instruction: text before everything else.
        chance: random source for format, exemplars and order.
    """
    form = chance.choice(FORMATS)
    drawn = {label: _drawn(texts, query.text, shots, chance) for label, texts in classes.items()}
    most = MOST_CHARACTERS - len(query.text)
    while shots > 1 and sum(len(t) for texts in drawn.values() for t in texts[:shots]) > most:
        shots -= 1
    pairs = [
        form.pair(text, labels[label]) for label, texts in drawn.items() for text in texts[:shots]
    ]
    chance.shuffle(pairs)
    asked = form.pair(query.text).rstrip(" ")
    head = f"{instruction}\n\n" if instruction else ""
    return head + form.between.join([*pairs, asked])


def _drawn(texts: Sequence[str], query: str, shots: int, chance: random.Random) -> list[str]:
    drawn = chance.sample(texts, min(shots + 1, len(texts)))
    return [text for text in drawn if text != query][:shots]
