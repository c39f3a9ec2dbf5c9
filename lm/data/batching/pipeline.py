"""The training pipeline: endless batches of NumPy arrays from a task or mixture.

    tokenized store → shuffled indices → preprocessors → mixing → shuffle buffer → rows → batches

The same arguments and files always give the same batches.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import seqio

from lm.data.batching import stream
from lm.data.batching.batches import Batches
from lm.data.batching.evaluation_batches import EvaluationBatches, evaluation_batches, task_names
from lm.data.registry import task_registry
from lm.data.registry.answers import names_of_labels
from lm.data.rows.converter import OPTIONAL_FEATURES, Converter, pack_rows
from lm.data.storage import fingerprints
from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, Seed

__all__ = ["EvaluationBatches", "Pipeline", "evaluation_batches", "task_fingerprint", "task_names"]


@part
class Pipeline(Batches):
    """Batches of a task or mixture, shuffled, converted and packed.

    Args:
        mixture_or_task_name: name of a registered task or mixture.
        split: name of the split.
        lengths: TASK_FEATURE_LENGTHS, e.g. `{"inputs": 128, "targets": 128}`.
        converter: factory of a feature converter of `lm.data.rows.features`.
        batch_size: rows of the global batch.
        seed: of the order, the mixing and random preprocessors.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors applied after the task's own, e.g.
            `lm.data.preprocessing.denoising.span_corruption`.
        shuffle_buffer: size of the shuffle buffer, in examples after splitting long ones. A stored
            task is also shuffled as a whole. 1 disables the buffer.
        length_buckets: widths to which batches of shorter rows are cut, e.g. [32, 64]; each is one
            more shape to compile. No use with packing, since packed rows are full.
        prefetch: number of batches to prepare in advance.
        process_index: index of this process; see `Batches`.
        process_count: number of processes.

    Attributes:
        vocabulary_sizes: feature and task -> number of ids of its tokenizer.
        label_names: names of a classification task's labels by id; else empty.

    Raises:
        UserError: an unknown task, split, feature or length, or a task without examples.

    Example (gin):
        pipeline.Pipeline.mixture_or_task_name = %MIXTURE_OR_TASK_NAME
        pipeline.Pipeline.converter = @features.EncoderDecoder
        features.EncoderDecoder.pack = @packing.FirstFit
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one run
        self,
        *,
        mixture_or_task_name: str,
        split: str = "train",
        lengths: Mapping[str, PositiveInt],
        converter: Callable[[], Converter],
        batch_size: PositiveInt,
        seed: Seed,
        vocabulary: seqio.Vocabulary | None = None,
        preprocessors: Sequence[stream.Preprocessor] = (),
        shuffle_buffer: PositiveInt = 1024,
        length_buckets: Sequence[PositiveInt] = (),
        prefetch: NonNegativeInt = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        made = converter()
        provider = task_registry.provider(mixture_or_task_name, split, vocabulary)
        steps = stream.Steps(lengths, made.trims, preprocessors, seed)
        examples = stream.mixed(provider, split, steps, _features(made))
        self.label_names = names_of_labels(provider.output_features)
        self.vocabulary_sizes = vocabulary_sizes(provider, split, made.task_features)
        _require_examples(provider, split, made, steps)
        prepared = made.prepare(examples, lengths).shuffle(shuffle_buffer, seed=seed)
        super().__init__(
            rows=pack_rows(made, prepared, lengths),
            fingerprint={
                **task_fingerprint(provider, split),
                **row_fingerprint(lengths, fingerprints.settings(made), preprocessors, seed),
                "shuffle_buffer": shuffle_buffer,
            },
            batch_size=batch_size,
            length_buckets=length_buckets,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )


def task_fingerprint(provider: task_registry.Provider, split: str) -> dict[str, Any]:
    """Returns everything that determines the examples: sources, tokenizers, mixing rates."""
    tasks = task_registry.tasks(provider, split)
    return {
        "mixture_or_task_name": provider.name,
        "split": split,
        "sources": {task.name: fingerprints.source(task.source, split) for task in tasks},
        "features": {task.name: fingerprints.features(task.output_features) for task in tasks},
        "rates": stream.rates(provider, split),
    }


def row_fingerprint(
    lengths: Mapping[str, int],
    converter: Any,
    preprocessors: Sequence[stream.Preprocessor],
    seed: int,
) -> dict[str, Any]:
    """Returns everything that determines how rows are made of examples."""
    return {
        "lengths": dict(lengths),
        "converter": converter,
        "preprocessors": fingerprints.settings(list(preprocessors)),
        "seed": seed,
    }


def vocabulary_sizes(
    provider: task_registry.Provider, split: str, names: Collection[str]
) -> dict[str, int]:
    """Returns the number of ids of every tokenizer that the features use, by feature and task."""
    return {
        f"{name!r} in {task.name}": int(feature.vocabulary.vocab_size)
        for task in task_registry.tasks(provider, split)
        for name, feature in task.output_features.items()
        if name in names
    }


def _features(made: Converter) -> tuple[str, ...]:
    """Returns the features that a converter needs or passes on."""
    return (*made.task_features, *OPTIONAL_FEATURES)


def _require_examples(
    provider: task_registry.Provider, split: str, made: Converter, steps: stream.Steps
) -> None:
    """Checks that each task has an example: an endless stream without one would never return."""
    for task in task_registry.tasks(provider, split):
        examples = stream.keep(stream.one_pass(task, split, steps), _features(made))
        if not any(True for _ in made.prepare(examples, steps.lengths).take(1)):
            raise UserError(
                f"{task.name}/{split}: no example is left after preprocessing; look at it with "
                f"`lm show {task.name}`, and at TASK_FEATURE_LENGTHS = {dict(steps.lengths)}"
            )
