"""Text samples generated during training: `samples/<step:06>.txt` in the run folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm import disk
from lm.inference.generate import Candidate, generate
from lm.inference.trained import Trained
from lm.parts import part
from lm.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt

FOLDER = "samples"
_RULE = "=" * 72


@part
class Samples:
    """Generates texts for the first examples of a split; does nothing for an encoder.

    Args:
        mixture_or_task_name: the task whose examples are the prompts; of a mixture, the first.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of the feature converter of the training.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors applied after the task's own, as in training.
        split: the split of the examples.
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
        from lm.data.batching.evaluation_batches import evaluation_batches, task_names
        from lm.data.registry import task_registry

        name = task_names(mixture_or_task_name, split)[0]
        shared = {"lengths": lengths, "converter": converter, "vocabulary": vocabulary}
        batches = evaluation_batches(
            mixture_or_task_name=name,
            split=split,
            batch_size=1,
            limit=count,
            preprocessors=preprocessors,
            **shared,
        )
        self.count = count
        self.examples = batches.examples
        features = task_registry.task(name, split, vocabulary).output_features
        self._made = {"task": name, "features": features, **shared}
        self._trained: Trained | None = None

    def __call__(self, objective: Any, *, step: int, workdir: Path) -> None:
        """Writes `samples/<step:06>.txt`.

        Args:
            objective: the objective with its current variables; the same object at every call.
            step: for the file name.
            workdir: the run folder.
        """
        if self._trained is None:
            self._trained = Trained(objective=objective, **self._made)
        if self._trained.has_decoder:
            write_samples(
                trained=self._trained,
                examples=self.examples,
                workdir=workdir,
                step=step,
                count=self.count,
            )


def write_samples(  # noqa: PLR0913 - the settings of a sample
    *,
    trained: Trained,
    examples: Sequence[Mapping[str, Any]],
    workdir: Path,
    step: int,
    count: NonNegativeInt = 3,
    prefix_length: PositiveInt = 16,
    max_new_tokens: PositiveInt = 128,
    temperature: NonNegativeFloat = 0.8,
    top_k: PositiveInt = 40,
    seed: int = 0,
) -> Path:
    """Writes texts for the first held-out examples and returns the path of the file.

    A model with inputs answers those of the first examples, by greedy search. A language model
    continues the empty prompt and prefixes of the next texts, by sampling.

    Args:
        trained: the model with its current weights.
        examples: examples of the task with `inputs` and `targets` as ids.
        workdir: the run folder.
        step: for the file name.
        count: number of texts.
        prefix_length: tokens of a held-out text to continue, at most half of it.
        max_new_tokens: length limit of a text, lowered if the model has fewer positions.
        temperature: of a language model's sampling.
        top_k: of a language model's sampling.
        seed: of the sampling; the same at every step, so that samples can be compared.
    """
    chosen = examples[:count]
    settings: dict[str, Any] = {
        "max_new_tokens": new_tokens(trained, max_new_tokens, prefix_length)
    }
    if trained.input_format.has_inputs:
        prompts = [_ids(e["inputs"])[: trained.lengths.get("inputs")] for e in chosen]
        titles = [format_example(trained, example) for example in chosen]
    else:
        texts = [_ids(example["targets"]) for example in chosen[1:]]
        prompts = [[], *(text[: min(prefix_length, len(text) // 2)] for text in texts)]
        titles = [repr(trained.text(prompt)) for prompt in prompts]
        settings |= {"temperature": temperature, "top_k": top_k, "seed": seed}
    generated = generate(trained=trained, prompts=prompts, batch_size=count, **settings)
    path = workdir / FOLDER / f"{step:06}.txt"
    with disk.writing(path, "the samples"):
        disk.make(path.parent)
        content = "".join(map(format_sample, titles, generated.candidates))
        disk.replace(path, content.encode(), what="the samples")
    return path


def format_example(trained: Trained, example: Mapping[str, Any]) -> str:
    """Returns inputs and targets as text, decoded from ids if the text was not kept."""
    if "inputs_pretokenized" in example:
        return f"{example['inputs_pretokenized']}\n-> {example['targets_pretokenized']}"
    inputs, targets = (trained.text(_ids(example[name])) for name in ("inputs", "targets"))
    return f"{inputs}\n-> {targets}"


def new_tokens(trained: Trained, max_new_tokens: int, prefix_length: int) -> int:
    """Returns the number of new tokens, limited by the decoder's positions after a prefix."""
    limit = trained.model.decoder.max_sequence_length
    if limit is None:
        return max_new_tokens
    read = prefix_length + 1 if trained.input_format.prompt_side == "decoder" else 0
    return max(1, min(max_new_tokens, limit - read))


def _ids(tokens: Any) -> list[int]:
    """Returns an array of ids as a list."""
    return [int(i) for i in tokens]


def format_sample(title: str, candidates: Sequence[Candidate]) -> str:
    """Returns a text under its prompt."""
    text = candidates[0].text if candidates else ""
    return f"{_RULE}\n{title}\n{_RULE}\n{text}\n\n"
