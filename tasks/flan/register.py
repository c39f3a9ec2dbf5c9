"""Registers the task or mixture of a name with SeqIO, see `tasks.flan` for the names."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import seqio

from lm.data.evaluation import metrics
from lm.data.evaluation.answer_metrics import squad, trivia_qa
from lm.data.evaluation.rank_classification import choice, rank_accuracy
from lm.data.preprocessing import shortening
from lm.data.vocabulary import byte_vocabulary
from tasks.flan.clusters import groups
from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.examples import source
from tasks.flan.few_shot import with_exemplars
from tasks.flan.names import PREFIX, Prompt, parse, ranks

MAXIMUM_RATE = 3000

Metric = Callable[..., Mapping[str, float]]


def f1_accuracy(targets: list[list[str]], predictions: list[str]) -> dict[str, float]:
    """Accuracy, and F1 of the answer `yes`, 0 to 100; any other text counts as `no`."""
    answers = zip(targets, predictions, strict=True)
    pairs = [(right[0] == "yes", made == "yes") for right, made in answers]
    both = sum(right and made for right, made in pairs)
    either = sum(right + made for right, made in pairs)
    f1 = 100 * 2 * both / either if either else 0.0
    return {**metrics.exact_match(targets, predictions), "f1": f1}


def edit_distance(targets: list[list[str]], predictions: list[str]) -> dict[str, float]:
    """Word edit distance to the one reference."""
    return metrics.edit_distance([right[0] for right in targets], predictions)


METRICS: Mapping[str, Metric] = {
    "accuracy": metrics.exact_match,
    "exact_match": metrics.exact_match,
    "f1_accuracy": f1_accuracy,
    "rouge": metrics.rouge,
    "bleu": metrics.bleu,
    "squad": squad,
    "trivia_qa": trivia_qa,
    "edit_distance": edit_distance,
}


def register(name: str) -> None:
    """Registers a name; does nothing if it does not belong to this family."""
    found = parse(name)
    if found is None:
        return
    group, prompt = found
    if group in data_sets():
        _add_task(name, data_sets()[group], prompt)
    elif group in groups():
        _add_mixture(name, group, prompt)


def _add_task(name: str, data_set: DataSet, prompt: Prompt) -> None:
    if (prompt.rank and not ranks(data_set)) or not prompt.indices(data_set):
        return
    feature = seqio.Feature(byte_vocabulary())
    seqio.TaskRegistry.add(
        name,
        source=source(data_set, prompt),
        preprocessors=[
            shortening.measure,
            with_exemplars,
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            shortening.shorten,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={"inputs": feature, "targets": feature},
        postprocess_fn=choice if prompt.rank else references,
        metric_fns=[rank_accuracy if prompt.rank else METRICS[data_set.metric]],
    )


def _add_mixture(name: str, group: str, prompt: Prompt) -> None:
    """Registers a mixture of its data sets in one form, without those that lack it."""
    members = []
    for data_set in groups()[group]:
        member = name.replace(f"{PREFIX}{group}_", f"{PREFIX}{data_set}_", 1)
        if member not in seqio.TaskRegistry.names():
            _add_task(member, data_sets()[data_set], prompt)
        if member in seqio.TaskRegistry.names():
            members.append((member, partial(rate, maximum=MAXIMUM_RATE)))
    if members:
        seqio.MixtureRegistry.add(name, members)


def rate(task: seqio.Task, *, maximum: int) -> float:
    """Returns min(number of training examples, maximum), 0 for a task without any.

    Source: Wei et al. 2022, section 2.4.
    """
    if "train" not in task.splits:
        return 0.0
    return float(min(task.num_input_examples("train"), maximum))


def references(output: Any, *, example: Mapping[str, Any], is_target: bool) -> Any:
    """Replaces a target by all right answers; white space at both ends does not count."""
    if not is_target:
        return output.strip()
    return [text.decode().strip() for text in example["references"]]
