"""Texts that the model writes while it is trained, in `samples/` of the run folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt
from lm.samples import write_samples
from lm.trained import Trained


@part
class Samples:
    """Writes texts for the first examples of a split; an encoder writes none.

    Args:
        mixture_or_task_name: the task whose examples give the beginnings; of a mixture, the first.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of the feature converter of the training.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors that follow the task's own, those of the training.
        split: where the examples come from.
        count: number of texts.
    """

    def __init__(
        self,
        *,
        mixture_or_task_name: str,
        lengths: Mapping[str, PositiveInt],
        converter: Callable[..., Any],
        vocabulary: Any = None,
        preprocessors: Sequence[Callable[..., Any]] = (),
        split: str = "validation",
        count: NonNegativeInt = 3,
    ) -> None:
        from lm.data import evaluation, lookup

        name = evaluation.task_names(mixture_or_task_name, split)[0]
        shared = {"lengths": lengths, "converter": converter, "vocabulary": vocabulary}
        batches = evaluation.evaluation_batches(
            mixture_or_task_name=name,
            split=split,
            batch_size=1,
            limit=count,
            preprocessors=preprocessors,
            **shared,
        )
        self.count = count
        self.examples = batches.examples
        features = lookup.task(name, split, vocabulary).output_features
        self._made = {"task": name, "features": features, **shared}
        self._trained: Trained | None = None

    def __call__(self, objective: Any, *, step: int, workdir: Path) -> None:
        """Write `samples/<step:06>.txt`.

        Args:
            objective: the objective, its variables those of the step; always the same one.
            step: names the file.
            workdir: the run folder.
        """
        if self._trained is None:
            self._trained = Trained(objective=objective, **self._made)
        if self._trained.writes:
            write_samples(
                trained=self._trained,
                examples=self.examples,
                workdir=workdir,
                step=step,
                count=self.count,
            )
