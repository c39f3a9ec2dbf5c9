"""In-context learning of functions on lists of numbers and on bit strings.

`held` reads BIG-bench's list functions and simple Turing concepts, which are for evaluation only,
from the data folder. `made` has functions and examples of our own, of the same kinds.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from lm.data.storage import readers
from tasks.support.local_data import DataSet

SHOTS = 4
QUERIES = 8
Pair = tuple[str, str]

FILES = {
    "list_functions": DataSet(
        "list_functions_even", origin="github.com/linlu-qiu/lm-inductive-reasoning"
    ).file("list_functions.jsonl"),
    "turing_concepts": DataSet(
        "turing_concepts_a", origin="github.com/gonzalojaimovitch/think-big-teach-small"
    ).file("concepts.jsonl.gz"),
}
MOST_INSTRUCTIONS = 3  # of a Turing concept, as in the paper

LIST_FUNCTIONS: Mapping[str, Callable[[list[int]], list[int]]] = {
    "drop the last": lambda x: x[:-1],
    "drop the first two": lambda x: x[2:],
    "keep even numbers": lambda x: [n for n in x if n % 2 == 0],
    "keep every other": lambda x: x[::2],
    "reverse": lambda x: x[::-1],
    "sort": sorted,
    "first to the end": lambda x: x[1:] + x[:1],
    "largest alone": lambda x: [max(x)],
    "add one": lambda x: [n + 1 for n in x],
    "double": lambda x: [2 * n for n in x],
    "repeat each": lambda x: [n for n in x for _ in range(2)],
    "append the length": lambda x: [*x, len(x)],
    "put 7 in front": lambda x: [7, *x],
    "add the sum": lambda x: [*x, sum(x)],
    "always 3, 1, 4": lambda x: [3, 1, 4],
    "always nothing": lambda x: [],
}
BIT_FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    "flip": lambda x: x.translate(str.maketrans("01", "10")),
    "reverse": lambda x: x[::-1],
    "last bit": lambda x: x[-1:],
    "drop the first": lambda x: x[1:],
    "ones only": lambda x: x.replace("0", ""),
    "twice": lambda x: x + x,
    "append 1": lambda x: x + "1",
    "parity": lambda x: str(x.count("1") % 2),
}


def held(name: str) -> Iterator[dict[str, str]]:
    """Yields the prompts of the files: the first pairs of a function, then each pair to predict."""
    for row in readers.read_jsonl(FILES[name]()):
        if "program" not in row:
            yield from _asked(row["train"][:SHOTS], row["test"])
        elif row["length"] <= MOST_INSTRUCTIONS:
            shown = [*row["witness_set"], *row["additional_1"], *row["additional_2"]]
            yield from _asked(shown, row["test"])


def made(name: str) -> Iterator[dict[str, str]]:
    """Yields prompts of our own functions in the same form."""
    chance = random.Random(name)
    draw, functions = {
        "list_functions": (_numbers, LIST_FUNCTIONS),
        "turing_concepts": (_bits, BIT_FUNCTIONS),
    }[name]
    for function in functions.values():
        given = [draw(chance) for _ in range(SHOTS + QUERIES)]
        pairs = [(str(one), str(function(one))) for one in given]  # type: ignore[operator]
        yield from _asked(pairs[:SHOTS], pairs[SHOTS:])


def _asked(
    shown: Sequence[Sequence[str]], asked: Sequence[Sequence[str]]
) -> Iterator[dict[str, str]]:
    r"""Yields a prompt for each queried pair.

    Example:
        >>> next(_asked([("[1, 2]", "[1]")], [("[3, 4]", "[3]")]))["inputs"]
        'Input: [1, 2]\nOutput: [1]\n\nInput: [3, 4]\nOutput:'
    """
    head = "".join(f"Input: {given}\nOutput: {target}\n\n" for given, target in shown)
    for given, target in asked:
        yield {"inputs": f"{head}Input: {given}\nOutput:", "targets": target}


def _numbers(chance: random.Random) -> list[int]:
    return [chance.randrange(10) for _ in range(chance.randint(4, 8))]


def _bits(chance: random.Random) -> str:
    return "".join(chance.choice("01") for _ in range(chance.randint(2, 6)))
