"""The training stream: batches of NumPy arrays without end, from a task or mixture by name.

    tokenized store → shuffled indices → preprocessors → mixing → shuffle buffer → rows → batches

A pipeline is decided by its arguments and its files: the same ones give the same batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio

from lm.data import identity, lookup, stream
from lm.data.batches import Batches
from lm.data.evaluation import EvaluationBatches, evaluation_batches, task_names
from lm.data.features import Converter

__all__ = ["EvaluationBatches", "Pipeline", "evaluation_batches", "task_facts", "task_names"]


class Pipeline(Batches):
    """Batches of a task or mixture, shuffled, converted and packed.

    Args:
        mixture_or_task_name: name of a registered task or mixture.
        split: name of the split.
        lengths: TASK_FEATURE_LENGTHS, e.g. `{"inputs": 128, "targets": 128}`.
        converter: factory of a feature converter of `lm.data.features`.
        batch_size: rows of the global batch.
        seed: decides order, mixing and random preprocessors.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors that follow the task's own, e.g.
            `lm.data.denoising.span_corruption`.
        shuffle_buffer: number of examples, after long ones are split, among which the next is
            drawn at random. A stored task is besides shuffled as a whole. 1 draws in order.
        prefetch: number of batches made ahead.
        process_index: which process this is, of `process_count`; see `Batches`.
        process_count: number of processes.

    Raises:
        UserError: naming what is unknown: task, split, feature or length.

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
        lengths: Mapping[str, int],
        converter: Callable[[], Converter],
        batch_size: int,
        seed: int,
        vocabulary: seqio.Vocabulary | None = None,
        preprocessors: Sequence[stream.Preprocessor] = (),
        shuffle_buffer: int = 1024,
        prefetch: int = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        made = converter()
        provider = lookup.provider(mixture_or_task_name, split, vocabulary)
        examples = stream.mixed(
            provider,
            split,
            lengths=lengths,
            preprocessors=preprocessors,
            seed=seed,
            features=(*made.task_features, "loss_weights"),
            trims=made.trims,
        )
        prepared = made.prepare(examples, lengths).shuffle(shuffle_buffer, seed=seed)
        super().__init__(
            rows=made.assemble(prepared, lengths),
            facts={
                **task_facts(provider, split),
                "lengths": dict(lengths),
                "converter": identity.settings(made),
                "preprocessors": identity.settings(list(preprocessors)),
                "seed": seed,
                "shuffle_buffer": shuffle_buffer,
            },
            batch_size=batch_size,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )


def task_facts(provider: lookup.Provider, split: str) -> dict[str, Any]:
    """Returns what decides the examples of a task or mixture: sources, tokenizers, shares."""
    tasks = lookup.tasks(provider, split)
    return {
        "mixture_or_task_name": provider.name,
        "split": split,
        "sources": {task.name: identity.source(task.source, split) for task in tasks},
        "features": {task.name: identity.features(task.output_features) for task in tasks},
        "rates": stream.rates(provider, split),
    }
