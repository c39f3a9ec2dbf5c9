"""Winograd schemas: a candidate replaces a pronoun, and the sentence or its rest is scored.

    full      log p(candidate, rest | left); the text left of the candidate cancels out
    partial   log p(rest | left, candidate)
    special   whether the word of the rest with the largest ratio of p(word | left, candidate, …)
              between right and wrong candidate is the word in which two schemas of a pair differ

Source: Trinh, Le 2018 (https://arxiv.org/abs/1806.02847), sections 3 and
5.2. Departures: candidates are unchanged, so that one of PDP-60 has no genitive.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from lm.data.evaluation.questions import Choice, Decision, QuestionSet
from lm.data.storage import readers
from tasks.support.local_data import DataSet

PUBLISHERS = "github.com/vid-koci/bert-commonsense"
FILES = {
    "wsc273": DataSet("wsc273", origin=PUBLISHERS).file("wsc273_partial.jsonl"),
    "pdp60": DataSet("pdp60", origin=PUBLISHERS).file("pdp60.jsonl"),
    "winogrande": DataSet("winogrande_dev_a", origin="winogrande.allenai.org").file(
        "winogrande.jsonl"
    ),
}


class Schema(NamedTuple):
    """A sentence with a gap, the candidates for it, and the index of the right one."""

    left: str
    candidates: tuple[str, ...]
    right: str
    label: int

    def full(self) -> Choice:
        r"""Returns the question that scores a candidate and the rest.

        Example:
            >>> Schema("It fits, as", ("it", "she"), " is small.", 0).full().answers
            ('it is small.', 'she is small.')
        """
        answers = tuple(candidate + self.right for candidate in self.candidates)
        left = (self.left,) * len(answers)
        return Choice(left, answers, (self.label,), delimiter=" " if self.left else "")

    def partial(self) -> Choice:
        """Returns the question that scores only the rest."""
        before = f"{self.left} " if self.left else ""
        contexts = tuple(before + candidate for candidate in self.candidates)
        rest = self.right.lstrip()
        space = self.right[: len(self.right) - len(rest)]
        return Choice(contexts, (rest,) * len(contexts), (self.label,), delimiter=space)

    def decision(self, twin: "Schema") -> Decision:
        """Returns the question which word decides; special words are those not in the twin.

        Example:
            >>> large = Schema("It fits, as", ("it", "she"), " is so large.", 0)
            >>> small = large._replace(right=" is so small.", label=1)
            >>> small.decision(large)
            Decision(contexts=('It fits, as she', 'It fits, as it'), words=('is', 'so', 'small.'), \
special=(2,))
        """
        words, others = self.right.split(), twin.right.split()
        special = tuple(number for number, word in enumerate(words) if word not in others)
        right, wrong = (f"{self.left} {self.candidates[n]}" for n in (self.label, 1 - self.label))
        return Decision((right, wrong), tuple(words), special)


def schemas(name: str) -> Iterator[Schema]:
    """Yields the schemas of a data set."""
    for row in readers.read_jsonl(FILES[name]()):
        yield _substituted(row) if "context_options" in row else _gap(row)


def sets(name: str) -> list[QuestionSet]:
    """Returns the two question sets of a data set."""
    return [
        _set(name, "full", Schema.full),
        _set(name, "partial", Schema.partial),
    ]


def special_words() -> QuestionSet:
    """Returns the question which word decides, of pairs of schemas that differ after the gap."""

    def decisions() -> Iterator[Decision]:
        found = (one.decision(twin) for one, twin in twins(schemas("wsc273")))
        return (one for one in found if one.special)

    return QuestionSet(
        name="wsc273_special",
        questions=decisions,
        require=FILES["wsc273"],
    )


def twins(found: Iterable[Schema]) -> Iterator[tuple[Schema, Schema]]:
    """Yields each schema with its neighbour if the two differ only after the gap."""
    for one, other in pairwise(found):
        if one[:2] == other[:2] and one.right != other.right and one.label != other.label:
            yield one, other
            yield other, one


def _set(name: str, way: str, ask: Callable[[Schema], Choice]) -> QuestionSet:
    return QuestionSet(
        name=f"{name}_{way}",
        questions=lambda: [ask(schema) for schema in schemas(name)],
        require=FILES[name],
    )


def _gap(row: Mapping[str, Any]) -> Schema:
    left, right = row["text"].split(row["pronoun"], 1)
    return Schema(left.rstrip(), tuple(row["candidates"]), right, row["label"])


def _substituted(row: Mapping[str, Any]) -> Schema:
    left, candidates = split_candidates(row["context_options"])
    return Schema(left, candidates, " " + row["continuation"], row["gold"])


def split_candidates(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Splits texts that differ in their last words into the common part and the rest of each.

    Each rest has at least one word.

    Example:
        >>> split_candidates(["He saw the dog", "He saw the old cat"])
        ('He saw the', ('dog', 'old cat'))
    """
    words = [text.split(" ") for text in texts]
    shortest = min(map(len, words))
    shared = next(
        n for n in range(shortest) if n == shortest - 1 or len({one[n] for one in words}) > 1
    )
    return " ".join(words[0][:shared]), tuple(" ".join(one[shared:]) for one in words)
