"""Tasks from a user's own files, and mixtures, defined in a gin file.

    from lm.data.user_tasks import user
    MIXTURE_OR_TASK_NAME = @user.text_task()
    user.text_task.train = 'poems/*.txt'

Each function registers a task or mixture with SeqIO and returns its name. Registering reads no
file; files are validated at their first use.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

from lm.data.evaluation.metrics import bleu, exact_match
from lm.data.mapping import mapped
from lm.data.registry import task_registry
from lm.data.storage import fingerprints, readers, sources
from lm.data.storage.record_cache import CachedSource
from lm.data.user_tasks.held_out_text import held_out_text
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from lm.parts import value

Paths = readers.Paths
Metric = Callable[..., Mapping[str, float]]
Preprocessor = Callable[..., tf.data.Dataset]

_SPECS: dict[str, Any] = {}


@value
def text_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_text",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    separator: str | None = None,
    reader: sources.Reader | None = None,
    vocabulary: seqio.Vocabulary | None = None,
    add_eos: bool = True,
    on_error: str = "raise",
) -> str:
    """Registers a language-modelling task (`targets` alone) from text files; returns its name.

    An example is a document: a whole file, or with `separator` the text between two such lines. A
    model of documents has context across lines; a model of lines or paragraphs has none.

    Args:
        name: name of the task.
        train: path or glob of the training text; `.gz` is decompressed.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the fraction of the training text that becomes the split
            `validation`; documents are chosen by content, and one may be cut at a line.
        separator: the line between two documents of a file, such as '<|endoftext|>'.
        reader: what an example is instead of a document: `readers.read_paragraphs` (an empty line
            ends it) or `readers.read_text_lines`.
        vocabulary: byte level by default.
        add_eos: whether the end token follows each text.
        on_error: "raise" stops at the first bad line, naming it; "skip" counts and leaves out.

    Raises:
        UserError: there is a separator and a reader.
    """
    if reader is not None and separator is not None:
        raise UserError("text_task.separator divides documents: bind it or text_task.reader")
    files = given_files(train=train, validation=validation, test=test)
    options = {} if reader is not None or separator is None else {"separator": separator}
    source = sources.text_source(
        files,
        reader=reader or readers.read_parts,
        on_error=on_error,
        feature="targets",
        options=options,
    )
    if held_out:
        source = held_out_text(source, held_out, "targets")
    return register(name, source, 0.0, {"targets": "targets"}, vocabulary, add_eos=add_eos)


@value
def parallel_task(
    *,
    name: str = "user_parallel",
    train: Mapping[str, Paths],
    validation: Mapping[str, Paths] | None = None,
    test: Mapping[str, Paths] | None = None,
    held_out: float = 0.0,
    vocabulary: seqio.Vocabulary | None = None,
    metrics: Sequence[Metric] = (bleu,),
    on_error: str = "raise",
) -> str:
    """Registers a text-to-text task from aligned files, line n with line n; returns its name.

    Args:
        name: name of the task.
        train: the files of both sides, `{'inputs': 'train.en', 'targets': 'train.de'}`; globs
            must match the same number of files.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the share of the training pairs that becomes the split
            `validation`; chosen by content, so that equal pairs are in the same split.
        vocabulary: byte level by default.
        metrics: metric functions of `lm.data.evaluation.metrics` for the evaluation.
        on_error: "raise" stops at the first bad line, naming it; "skip" leaves out the pair.

    Raises:
        UserError: a split has other keys than `inputs` and `targets`.
    """
    files = given_files(train=train, validation=validation, test=test)
    sides = {"inputs": "inputs", "targets": "targets"}
    for split, named in files.items():
        if set(named) != set(sides):
            raise UserError(
                f"parallel_task.{split} has the sides {', '.join(map(repr, named))}; it takes "
                "{'inputs': FILES, 'targets': FILES}"
            )
    source = sources.parallel_source(files, on_error=on_error)
    return register(name, source, held_out, sides, vocabulary, metrics)


@value
def tsv_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_tsv",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    inputs: str = "inputs",
    targets: str = "targets",
    columns: Sequence[str] | None = None,
    vocabulary: seqio.Vocabulary | None = None,
    metrics: Sequence[Metric] = (exact_match,),
    on_error: str = "raise",
) -> str:
    """Registers a text-to-text task from two columns of tab-separated files; returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training table.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the fraction of the training rows that becomes the split
            `validation`; chosen by content, so that equal rows are in the same split.
        inputs: the column of the inputs.
        targets: the column of the targets.
        columns: names of all columns, when the files have no header line.
        vocabulary: byte level by default.
        metrics: metric functions of `lm.data.evaluation.metrics` for the evaluation.
        on_error: as in `text_task`.
    """
    files = given_files(train=train, validation=validation, test=test)
    source = sources.tsv_source(files, columns=(inputs, targets), names=columns, on_error=on_error)
    renamed = {"inputs": inputs, "targets": targets}
    return register(name, source, held_out, renamed, vocabulary, metrics)


@value
def jsonl_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_jsonl",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    inputs: str | None = None,
    targets: str = "text",
    vocabulary: seqio.Vocabulary | None = None,
    metrics: Sequence[Metric] = (exact_match,),
    on_error: str = "raise",
) -> str:
    """Registers a task from fields of JSON-lines files; returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training file.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: as in `tsv_task`.
        inputs: the field of the inputs; None makes a language-modelling task of the targets.
        targets: the field of the targets.
        vocabulary: byte level by default.
        metrics: metric functions of `lm.data.evaluation.metrics` for the evaluation.
        on_error: as in `text_task`.
    """
    files = given_files(train=train, validation=validation, test=test)
    renamed = {"targets": targets} | ({"inputs": inputs} if inputs else {})
    source = sources.jsonl_source(files, fields=tuple(renamed.values()), on_error=on_error)
    return register(name, source, held_out, renamed, vocabulary, metrics)


@value
def mixture(
    *,
    name: str = "user_mixture",
    tasks: Sequence[str] | Mapping[str, float],
    temperature: float = 1.0,
    maximum: float | None = None,
) -> str:
    """Registers a mixture of tasks and returns its name.

    Args:
        name: name of the mixture.
        tasks: names of tasks, mixed in proportion to their numbers of training examples; or rates
            by name, also of mixtures.
        temperature: T; a rate r becomes r^(1/T). 1 is proportional, ∞ is equal.
        maximum: upper limit of rates, applied before the temperature.

    Raises:
        UserError: a name is unknown, or is that of a mixture without a rate.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 3.5.2.
    """
    rates = {
        task: _rate(tasks[task] if isinstance(tasks, Mapping) else None, temperature, maximum)
        for task in tasks
    }
    for task, rate in rates.items():
        if isinstance(task_registry.get(task), seqio.Mixture) and callable(rate):
            raise UserError(
                f"user.mixture.tasks: {task!r} is a mixture, whose rate must be given; bind rates "
                f"by name, {{{task!r}: 1.0, ...}}"
            )
    spec = ["mixture", fingerprints.settings(tasks), temperature, maximum]
    if is_new(name, spec):
        seqio.MixtureRegistry.add(name, list(rates.items()))
    return name


def _rate(
    given: float | None, temperature: float, maximum: float | None
) -> float | Callable[[seqio.Task], float]:
    """Returns min(r, maximum)^(1/T) of a given rate r, else a function of the task.

    SeqIO takes no function for a mixture within a mixture.
    """

    def scaled(rate: float) -> float:
        return min(rate, maximum or rate) ** (1 / temperature)

    if given is not None:
        return scaled(given)
    return lambda task: scaled(task.num_input_examples("train"))


def given_files(**files: Any) -> dict[str, Any]:
    """Returns the splits with files."""
    return {split: paths for split, paths in files.items() if paths}


def with_held_out(source: CachedSource, share: float) -> CachedSource:
    """Makes a validation split from a share of the training examples, if `share` is positive."""
    if not share:
        return source
    if "validation" in source.splits:
        raise UserError("held_out is for tasks without validation files; give one of the two")
    return sources.held_out(source, share)


def register(
    name: str,
    source: CachedSource,
    held_out: float,
    renamed: Mapping[str, str],
    vocabulary: seqio.Vocabulary | None,
    metrics: Sequence[Metric] = (),
    *,
    add_eos: bool = True,
    append_eos: Preprocessor | None = None,
) -> str:
    """Adds a task whose features are renamed columns of the source, `{feature: column}`.

    The last preprocessor, `append_eos`, by default truncates the end of inputs and targets that are
    too long, and nothing if there are no inputs.
    """
    source = with_held_out(source, held_out)
    steps = seqio.preprocessors
    default = steps.append_eos_after_trim if "inputs" in renamed else steps.append_eos
    feature = seqio.Feature(vocabulary or byte_vocabulary(), add_eos=add_eos)

    def rename(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return mapped(dataset, lambda row: {name: row[old] for name, old in renamed.items()})

    spec = [source.description, renamed, fingerprints.describe(feature.vocabulary)]
    if is_new(name, [*spec, add_eos, fingerprints.settings(list(metrics))]):
        seqio.TaskRegistry.add(
            name,
            source=source,
            preprocessors=[
                rename,
                steps.tokenize,
                seqio.CacheDatasetPlaceholder(),
                append_eos or default,
            ],
            output_features=dict.fromkeys(renamed, feature),
            metric_fns=list(metrics),
        )
    return name


def is_new(name: str, spec: Any) -> bool:
    """Returns whether a name is still free; gin calls a function once for every use of a macro.

    Raises:
        UserError: the name belongs to something else.
    """
    if _SPECS.get(name) == spec:
        return False
    if name in task_registry.names():
        raise UserError(f"the name {name!r} is taken; give this task another with `name`")
    _SPECS[name] = spec
    return True
