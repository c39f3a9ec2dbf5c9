"""The rule for names: `flan_<group>_<form>[_template<k>|_<T>templates][_rank]`."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.flan.clusters import groups
from tasks.flan.data_set import DataSet, data_sets

PREFIX = "flan_"
MOST_SHOTS = 16
SHOTS = (1, 2, 3, 5, 10)
TEMPLATES = 10
BARE, NAMED = "notemplate", "datasetname"

_NAME = re.compile(
    rf"{PREFIX}(?P<group>\w+?)_"
    rf"(?:(?:zs|fs(?P<shots>\d*))(?P<options>opt|noopt)|(?P<ablation>{BARE}|{NAMED}))"
    r"(?:_template(?P<template>\d+)|_(?P<templates>\d+)templates)?(?P<rank>_rank)?"
)


@dataclass(frozen=True)
class Prompt:
    """The format of a task's prompts.

    Attributes:
        form: `opt` with the possible answers, `noopt` without; `notemplate` and `datasetname`,
            the fields alone or after the set's name.
        shots: maximum number of exemplars.
        template: the index of the only template; None for the first `templates` in turn.
        templates: number of templates.
        rank: whether there is an example for every possible answer.
    """

    form: str
    shots: int = 0
    template: int | None = None
    templates: int = TEMPLATES
    rank: bool = False

    def indices(self, data_set: DataSet) -> tuple[int, ...]:
        """Returns the templates to take in turn; ranking uses those that ask for the answer."""
        if self.form in (BARE, NAMED):
            return (0,)
        known = data_set.asking() if self.rank else range(len(data_set.templates))
        if self.template is None:
            return tuple(known)[: self.templates]
        return (self.template,) if self.template in known else ()


def parse(name: str) -> tuple[str, Prompt] | None:
    """Returns the group (a data set's name, or a mixture's group) and the prompt of a name.

    Example:
        >>> parse("flan_rte_fs3opt_template2")
        ('rte', Prompt(form='opt', shots=3, template=2, templates=10, rank=False))
        >>> parse("flan_rte") is None
        True
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    form = found["options"] or found["ablation"]
    shots = 0 if found["shots"] is None else int(found["shots"] or MOST_SHOTS)
    template = None if found["template"] is None else int(found["template"])
    templates = int(found["templates"] or TEMPLATES)
    prompt = Prompt(form, shots, template, templates, bool(found["rank"]))
    return found["group"], prompt


def all_names() -> Iterator[str]:
    """Yields the names of tasks and mixtures, without those with a number of templates."""
    few = ("", *map(str, SHOTS))
    forms = ["zsopt", "zsnoopt", *(f"fs{k}{end}" for k in few for end in ("opt", "noopt"))]
    instructed = {name: one for name, one in data_sets().items() if one.templates}
    for name, data_set in instructed.items():
        for form, (ending, can_rank) in itertools.product(forms, _endings(data_set)):
            yield f"{PREFIX}{name}_{form}{ending}"
            if can_rank:
                yield f"{PREFIX}{name}_{form}{ending}_rank"
        yield from (f"{PREFIX}{name}_{form}" for form in (BARE, NAMED))
    for group, form in itertools.product(groups(), [*forms, BARE, NAMED]):
        yield f"{PREFIX}{group}_{form}"


def _endings(data_set: DataSet) -> Iterator[tuple[str, bool]]:
    """Yields the endings for all templates and for each, and whether they can be ranked."""
    asking = data_set.asking()
    yield "", ranks(data_set)
    for index in range(len(data_set.templates)):
        yield f"_template{index}", ranks(data_set) and index in asking


# Their options differ from example to example.
OWN_OPTIONS = frozenset(
    "copa hellaswag piqa story_cloze choices lettered_choices cosmos_qa record pronoun winogrande "
    "wsc273".split()
)


def ranks(data_set: DataSet) -> bool:
    """Returns whether a data set has possible answers."""
    return bool(data_set.options) or data_set.read in OWN_OPTIONS
