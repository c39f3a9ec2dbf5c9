"""Registers the task or mixture of a name with SeqIO, see `tasks.flan` for the names."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import seqio

from lm.data.evaluation import metrics
from lm.data.evaluation.answer_metrics import squad, trivia_qa
from lm.data.evaluation.label_metrics import f1, macro_f1, pearson, spearman
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


def class_scores(
    options: Sequence[str],
    measures: Sequence[Metric],
    targets: Sequence[Sequence[str]],
    predictions: Sequence[str],
) -> Mapping[str, float]:
    """Accuracy of all texts, and measures of the classes where a class is asked for, 0 to 100.

    A prediction that is no class is -1, which measures of labels count as wrong; correlations take
    it for the number, as T5 does.

    Args:
        options: the names of the classes, in the order of their numbers.
        measures: functions of `label_metrics`.
        targets: the correct answers.
        predictions: texts.

    Example:
        >>> found = class_scores(["no", "yes"], [f1], [["no"], ["yes"]], ["banana", "yes"])
        >>> {name: round(value, 1) for name, value in found.items()}
        {'exact_match': 50.0, 'f1': 66.7}
    """
    numbers = {option: number for number, option in enumerate(options)}
    pairs = zip(targets, predictions, strict=True)
    asked = [(numbers[right[0]], made) for right, made in pairs if right[0] in numbers]
    labels = [right for right, _ in asked]
    guesses = [numbers.get(made, -1) for _, made in asked]
    scores = dict(metrics.exact_match(targets, predictions))
    for measure in measures:
        scores |= measure(labels, guesses)
    return scores


def edit_distance(targets: list[list[str]], predictions: list[str]) -> dict[str, float]:
    """Word edit distance to the one reference."""
    return metrics.edit_distance([right[0] for right in targets], predictions)


METRICS: Mapping[str, Metric] = {
    "accuracy": metrics.exact_match,
    "exact_match": metrics.exact_match,
    "rouge": metrics.rouge,
    "bleu": metrics.bleu,
    "squad": squad,
    "trivia_qa": trivia_qa,
    "edit_distance": edit_distance,
}
# Of data sets with classes.
CLASS_METRICS: Mapping[str, Sequence[Metric]] = {
    "f1_accuracy": (f1,),
    "macro_f1_accuracy": (macro_f1,),
    "correlation_accuracy": (pearson, spearman),
}


def metric(data_set: DataSet) -> Metric:
    """Returns the metric function of a data set, of `(targets, predictions)`."""
    measures = CLASS_METRICS.get(data_set.metric)
    if measures is None:
        return METRICS[data_set.metric]
    return partial(class_scores, data_set.options, measures)


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
        metric_fns=[rank_accuracy if prompt.rank else metric(data_set)],
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
