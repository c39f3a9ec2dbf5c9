"""Examples of a data set as prompts: zero-shot, few-shot, or for ranking.

All choices depend only on the examples and on hashes of them, so the same files give the same
prompts on every machine.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from lm.data.storage import fingerprints, sources
from lm.data.storage.record_cache import CachedSource
from lm.data.storage.record_cache import Example as Record
from tasks.flan.data_set import DataSet
from tasks.flan.names import BARE, NAMED, Prompt
from tasks.flan.origin import Origin, key
from tasks.flan.template import Example, Template, around_longest, render

# Maximum length of exemplars given to `few_shot`, which counts tokens: about what its budget holds.
MOST_CHARACTERS = 6 * 960


def records(data_set: DataSet, prompt: Prompt, origin: Origin, split: str) -> Iterator[Record]:
    """Yields the prompts of a split as records.

    A record has `inputs`, the texts `before` and `after` their longest field, `targets`, the index
    of its `template`, the `references`, and for a few-shot prompt the inputs and targets of its
    exemplars. For ranking there is a record for each
    possible answer, with the number of its `example`, of the `choice`, and whether it `is_correct`.
    A turned-around template, which asks for something else, has its target as the only reference.
    """
    examples = origin.examples(split)
    pool = _pool(examples, origin, split) if prompt.shots else []
    turns = prompt.indices(data_set)
    for number, example in enumerate(examples):
        index = turns[number % len(turns)]
        write = partial(written, data_set, prompt, index)
        shots = _exemplars(pool, example, prompt.shots, write)
        shared = {**_query(data_set, prompt, index, example), "template": index, **shots}
        if not prompt.rank:
            yield shared
            continue
        for choice, option in enumerate(example.options):
            correct = int(option in example.references)
            ids = {"example": number, "choice": choice, "is_correct": correct}
            yield {**shared, **ids, "targets": option}


def written(data_set: DataSet, prompt: Prompt, index: int, example: Example) -> tuple[str, str]:
    """Returns the input and the target of an example in a given form of prompt."""
    template = _template(data_set, prompt, index, example)
    return render(template, example, options=prompt.form == "opt")


def _template(data_set: DataSet, prompt: Prompt, index: int, example: Example) -> Template:
    """Returns the template of that index, or one of the fields without an instruction."""
    if prompt.form not in (BARE, NAMED):
        return data_set.templates[index]
    fields = [f"{{{name}}}" for name in example.texts if name != "answer"]
    name = f"[{data_set.name}] " if prompt.form == NAMED else ""
    return Template(name + (data_set.bare or "\n".join(fields)))


def _query(data_set: DataSet, prompt: Prompt, index: int, example: Example) -> Record:
    """Returns input, target and correct answers, and the texts around the longest field."""
    inputs, targets = written(data_set, prompt, index, example)
    template = _template(data_set, prompt, index, example)
    before, after = around_longest(template, example, inputs)
    right = [targets] if template.is_turned_around else list(example.references)
    shared = {"inputs": inputs, "before": before, "after": after}
    return {**shared, "targets": targets, "references": right}


def source(data_set: DataSet, prompt: Prompt) -> CachedSource:
    """Returns the SeqIO source of a data set in a given form of prompt."""
    origin = Origin(data_set)
    return sources.examples_source(
        f"flan_{data_set.name}",
        {split: partial(records, data_set, prompt, origin, split) for split in origin.splits},
        fingerprint=partial(_fingerprint, prompt, origin),
        require=origin.require,
    )


def _fingerprint(prompt: Prompt, origin: Origin) -> Mapping[str, Any]:
    code = fingerprints.describe([records, render])
    return {"from": origin.fingerprint(), "as": repr(prompt), "code": code}


def _pool(examples: list[Example], origin: Origin, split: str) -> list[Example]:
    """Returns the examples that exemplars are drawn from: train if there is one, else the split."""
    is_own = split == "train" or "train" not in origin.splits
    return examples if is_own else origin.examples("train")


def _exemplars(
    pool: list[Example],
    query: Example,
    shots: int,
    write: Callable[[Example], tuple[str, str]],
) -> dict[str, list[str]]:
    """Returns inputs and targets of exemplars, drawn by a hash of the query and excluding it."""
    if not shots:
        return {}
    drawn = random.Random(key(query)).sample(pool, min(shots + 1, len(pool)))
    pairs = [write(example) for example in drawn if example.texts != query.texts][:shots]
    fitting, size = [], 0
    for pair in pairs:
        size += sum(map(len, pair))
        if size <= MOST_CHARACTERS:
            fitting.append(pair)
    return {
        "exemplar_inputs": [inputs for inputs, _ in fitting],
        "exemplar_targets": [targets for _, targets in fitting],
    }
