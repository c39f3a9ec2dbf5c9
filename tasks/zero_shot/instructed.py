"""Question sets from the prompts of `tasks.flan` and `tasks.symbol_tuning`."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lm.data.evaluation import questions
from lm.data.evaluation.metrics import exact_match
from lm.data.evaluation.questions import Choice, Fits, Open, QuestionSet
from tasks.flan.clusters import LOCAL
from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.examples import records
from tasks.flan.names import Prompt, ranks
from tasks.flan.origin import ALL, Origin
from tasks.flan.register import metric
from tasks.symbol_tuning import algorithms
from tasks.symbol_tuning.examples import asked
from tasks.symbol_tuning.tables import LOCAL_EVALUATION, TWO_CLASSES


def cluster(name: str, form: str) -> list[QuestionSet]:
    """Returns the sets of a cluster in all templates that ask for the answer."""
    parts = [part for one in LOCAL[name] for part in one.split("+")]
    return [
        instructed(data_sets()[part], form, template)
        for part in parts
        for template in data_sets()[part].asking()
    ]


def instructed(data_set: DataSet, form: str, template: int) -> QuestionSet:
    """Returns the questions of a data set in one template.

    Where neither test nor validation is published, as of the local WiC, MultiRC and ReCoRD, these
    are all examples: a run is to be trained without the set, such as on a mixture
    `flan_local_without_<cluster>`, which leaves out all sets of the cluster.

    Args:
        data_set: the data set.
        form: "opt" or "noopt", with a list of the possible answers or without.
        template: the index of the template.
    """
    origin = Origin(data_set)
    prompt = Prompt(form, template=template, rank=ranks(data_set))
    split = origin.held_out
    is_apart = "train" in origin.splits and split != ALL
    written = partial(_written, data_set, prompt, origin)
    return QuestionSet(
        name=f"flan_{data_set.name}_zs{form}_template{template}",
        group=f"flan_{data_set.name}",
        questions=partial(written, split),
        exemplars=partial(written, "train") if is_apart else None,
        require=partial(origin.require, split),
        metrics=metric(data_set),
        max_new_tokens=64,
    )


def symbols(setting: str) -> list[QuestionSet]:
    """Returns the unseen data sets of symbol tuning in one of its settings."""
    held = [name for name in LOCAL_EVALUATION if setting != "flipped" or name in TWO_CLASSES]
    return [_symbol_set(Origin(data_sets()[name]), setting) for name in held]


def algorithm(name: str) -> list[QuestionSet]:
    """Returns the set of functions to learn from examples."""

    def written() -> Iterator[Open]:
        for row in algorithms.held(name):
            yield Open(row["inputs"], (row["targets"],))

    find = algorithms.FILES[name]
    return [QuestionSet(name=name, questions=written, require=find, metrics=exact_match)]


def _symbol_set(origin: Origin, setting: str) -> QuestionSet:
    return QuestionSet(
        name=f"symbol_{origin.data_set.name}_{setting}",
        questions=partial(_symbol_questions, origin, setting, lambda context, answer: True),
        within=partial(_symbol_questions, origin, setting),
        version=2,
        require=partial(origin.require, "train"),
    )


def _symbol_questions(origin: Origin, setting: str, fits: Fits) -> Iterator[Choice]:
    """Yields the questions of a setting, with as many exemplars as fit before every answer."""
    for prompt, labels, correct in asked(origin, setting):
        answers = tuple(labels)
        text = prompt.within(partial(_fits_all, fits, answers))
        yield Choice((text,) * len(answers), answers, (correct,))


def _fits_all(fits: Fits, answers: Sequence[str], context: str) -> bool:
    """Returns whether a context fits before each of the answers."""
    return all(fits(context, f" {answer}") for answer in answers)


def _written(
    data_set: DataSet, prompt: Prompt, origin: Origin, split: str
) -> Iterator[questions.Question]:
    rows = records(data_set, prompt, origin, split)
    if prompt.rank:
        yield from choices(rows)
        return
    for row in rows:
        yield Open(row["inputs"], tuple(row["references"]))


def choices(rows: Iterable[Mapping[str, Any]]) -> Iterator[Choice]:
    """Yields a question for each example, from its rows for the possible answers."""
    for _, group in itertools.groupby(rows, key=lambda row: row["example"]):
        answers = list(group)
        yield Choice(
            tuple(row["inputs"] for row in answers),
            tuple(row["targets"] for row in answers),
            tuple(n for n, row in enumerate(answers) if row["is_correct"]),
        )
