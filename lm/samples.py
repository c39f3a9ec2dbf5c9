"""Texts a model writes while it is trained: `samples/<step:06>.txt` in the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm import disk
from lm.generate import Candidate, generate
from lm.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt
from lm.trained import Trained

FOLDER = "samples"
_RULE = "=" * 72


def write_samples(  # noqa: PLR0913 - the settings of a sample
    *,
    trained: Trained,
    examples: Sequence[Mapping[str, Any]],
    workdir: Path,
    step: int,
    count: NonNegativeInt = 3,
    beginning: PositiveInt = 16,
    max_new_tokens: PositiveInt = 128,
    temperature: NonNegativeFloat = 0.8,
    top_k: PositiveInt = 40,
    seed: int = 0,
) -> Path:
    """Writes texts for the first held-out examples and returns the file.

    A model that reads inputs answers those of the first examples, greedily; a language model goes
    on with nothing and with the beginnings of the first texts, by sampling.

    Args:
        trained: the model; its weights are used as they are.
        examples: examples of the task with `inputs` and `targets` as ids.
        workdir: the run folder.
        step: names the file.
        count: number of texts.
        beginning: tokens of a held-out text to go on with, at most half of it.
        max_new_tokens: longest text, fewer where the model has no more positions.
        temperature: of a language model's sampling.
        top_k: of a language model's sampling.
        seed: of the sampling; the same at every step, to compare them.
    """
    chosen = examples[:count]
    settings: dict[str, Any] = {"max_new_tokens": room(trained, max_new_tokens, beginning)}
    if trained.reader.reads_inputs:
        prompts = [ids(e["inputs"])[: trained.lengths.get("inputs")] for e in chosen]
        titles = [asked(trained, example) for example in chosen]
    else:
        texts = [ids(example["targets"]) for example in chosen[1:]]
        prompts = [[], *(text[: min(beginning, len(text) // 2)] for text in texts)]
        titles = [repr(trained.text(prompt)) for prompt in prompts]
        settings |= {"temperature": temperature, "top_k": top_k, "seed": seed}
    made = generate(trained=trained, prompts=prompts, batch_size=count, **settings)
    path = workdir / FOLDER / f"{step:06}.txt"
    with disk.writing(path, "the samples"):
        disk.make(path.parent)
        content = "".join(map(entry, titles, made.candidates))
        disk.replace(path, content.encode(), what="the samples")
    return path


def asked(trained: Trained, example: Mapping[str, Any]) -> str:
    """Returns inputs and targets as text; what a preprocessor made of a text is tokens alone."""
    if "inputs_pretokenized" in example:
        return f"{example['inputs_pretokenized']}\n-> {example['targets_pretokenized']}"
    inputs, targets = (trained.text(ids(example[name])) for name in ("inputs", "targets"))
    return f"{inputs}\n-> {targets}"


def room(trained: Trained, max_new_tokens: int, beginning: int) -> int:
    """Returns the new tokens there are positions for after a beginning."""
    limit = trained.model.decoder.max_sequence_length
    if limit is None:
        return max_new_tokens
    read = beginning + 1 if trained.reader.side == "decoder" else 0
    return max(1, min(max_new_tokens, limit - read))


def ids(tokens: Any) -> list[int]:
    """Returns an array of ids as a list."""
    return [int(i) for i in tokens]


def entry(title: str, candidates: Sequence[Candidate]) -> str:
    """Returns one text under what it was written for."""
    text = candidates[0].text if candidates else ""
    return f"{_RULE}\n{title}\n{_RULE}\n{text}\n\n"
