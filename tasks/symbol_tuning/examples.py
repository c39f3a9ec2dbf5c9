"""Training and evaluation examples of symbol tuning, from the data sets of `tasks.flan`."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from lm.data.storage import fingerprints, sources
from lm.data.storage.record_cache import CachedSource
from lm.data.storage.record_cache import Example as Record
from lm.errors import UserError
from tasks.flan.data_set import DataSet
from tasks.flan.origin import Origin
from tasks.symbol_tuning import prompts
from tasks.symbol_tuning.prompts import Item, Prompt
from tasks.symbol_tuning.symbols import EVALUATION, TUNING
from tasks.symbol_tuning.tables import INSTRUCTIONS, SETTINGS

MOST_PROMPTS = 25_000
MOST_QUERIES = 100
FEWEST, MOST = 2, 10  # exemplars per class in training
EVALUATION_SHOTS = 4
BINARY = 2


class Asked(NamedTuple):
    """A prompt of the evaluation, the label text of each class, and the index of the right one."""

    prompt: Prompt
    labels: list[str]
    correct: int


def training(origin: Origin) -> Iterator[Record]:
    """Yields a prompt for each training example, with 2 to 10 exemplars per class and symbols.

    A record has the parts of the prompt, which `row_fit` joins, and `targets`.
    """
    items = [
        prompts.item(origin.data_set, example)
        for example in origin.examples("train")[:MOST_PROMPTS]
    ]
    classes = prompts.by_class(items)
    for query in items:
        chance = random.Random(query.text)
        symbols = dict(zip(classes, TUNING.distinct(len(classes), chance), strict=True))
        labels = [symbols.get(label, "") for label in range(max(classes) + 1)]
        shots = chance.randint(FEWEST, MOST)
        prompt = prompts.prompt(query, classes, labels, shots=shots, chance=chance)
        yield {**prompt._asdict(), "targets": labels[query.label]}


def evaluation(origin: Origin, setting: str, *, rank: bool) -> Iterator[Record]:
    """Yields the prompts of a setting as records; for ranking, one for each label."""
    for number, (prompt, labels, correct) in enumerate(asked(origin, setting)):
        if not rank:
            yield {**prompt._asdict(), "targets": labels[correct]}
            continue
        for choice, label in enumerate(labels):
            ids = {"example": number, "choice": choice, "is_correct": int(choice == correct)}
            yield {**prompt._asdict(), "targets": label, **ids}


def asked(origin: Origin, setting: str) -> Iterator[Asked]:
    """Yields the prompts of a setting, four exemplars per class."""
    examples = origin.examples(_query_split(origin))[:MOST_QUERIES]
    classes = prompts.by_class(_pool(origin))
    for example in examples:
        query = prompts.item(origin.data_set, example)
        chance = random.Random(f"{setting} {query.text}")
        labels = _labels(origin.data_set, example.options, setting, chance)
        prompt = prompts.prompt(
            query,
            classes,
            labels,
            shots=EVALUATION_SHOTS,
            instruction=INSTRUCTIONS[origin.data_set.name] if SETTINGS[setting][0] else "",
            chance=chance,
        )
        yield Asked(prompt, labels, query.label)


def training_source(data_set: DataSet) -> CachedSource:
    """Returns the source of the training prompts of a data set."""
    origin = Origin(data_set)
    return _source(origin, "train", partial(training, origin), "train")


def evaluation_source(data_set: DataSet, setting: str, *, rank: bool) -> CachedSource:
    """Returns the source of the prompts of a setting."""
    origin = Origin(data_set)
    return _source(origin, "test", partial(evaluation, origin, setting, rank=rank), [setting, rank])


def _source(origin: Origin, split: str, examples: Any, settings: Any) -> CachedSource:
    return sources.examples_source(
        f"symbol_tuning_{origin.data_set.name}",
        {split: examples},
        fingerprint=partial(_fingerprint, origin, settings),
        require=lambda _: origin.require(_query_split(origin)),
    )


def _fingerprint(origin: Origin, settings: Any) -> Mapping[str, Any]:
    code = fingerprints.describe([training, prompts.prompt, TUNING.symbol, INSTRUCTIONS])
    return {
        "from": origin.fingerprint(),
        "as": settings,
        "code": code,
    }


def _query_split(origin: Origin) -> str:
    return next(split for split in ("validation", "test", "train") if split in origin.splits)


def _pool(origin: Origin) -> Sequence[Item]:
    """Returns the items to draw exemplars from: those of train, else of the queries' split."""
    split = "train" if "train" in origin.splits else _query_split(origin)
    return [prompts.item(origin.data_set, example) for example in origin.examples(split)]


def _labels(
    data_set: DataSet, names: Sequence[str], setting: str, chance: random.Random
) -> list[str]:
    """Returns the label text of each class.

    Raises:
        UserError: labels are to be flipped and there are not two classes.
    """
    kind = SETTINGS[setting][1]
    if kind == "symbols":
        return EVALUATION.distinct(len(names), chance)
    if kind == "names":
        return list(names)
    if len(names) != BINARY:
        raise UserError(f"{data_set.name} has {len(names)} classes; labels are flipped between two")
    return list(reversed(names))
