"""The model card of an exported folder, written from the run's own records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lm.json_file import read_lines

RESULTS, METRICS = "inference_eval", "metrics.jsonl"
PIPELINES = {
    "GPT2LMHeadModel": "text-generation",
    "T5ForConditionalGeneration": "text2text-generation",
    "SwitchTransformersForConditionalGeneration": "text2text-generation",
}
ENDINGS = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
}
# The settings of a run that a reader looks for first.
SETTINGS = (
    "MIXTURE_OR_TASK_NAME",
    "TASK_FEATURE_LENGTHS",
    "OPTIMIZER",
    "LEARNING_RATE",
    "BATCH_SIZE",
    "TRAIN_STEPS",
    "RANDOM_SEED",
    "DTYPE_POLICY",
    "INITIAL_CHECKPOINT_PATH",
)


class Card(NamedTuple):
    """The contents of a model card.

    Attributes:
        name: name of the folder.
        architecture: class of `transformers`.
        parameters: number of weights.
        workdir: the run folder, for its metrics.
        step: step of the checkpoint.
        settings: macro -> gin text.
        version: version of `lm`.
    """

    name: str
    architecture: str
    parameters: int
    workdir: Path
    step: int
    settings: Mapping[str, str]
    version: str


def model_card(card: Card) -> str:
    """Returns the text of README.md.

    Raises:
        UserError: the run's metrics cannot be read.
    """
    results = evaluations(card.workdir)
    ending = next((x for end, x in ENDINGS.items() if card.architecture.endswith(end)), None)
    pipeline = PIPELINES.get(card.architecture, ending)
    front = ["---", "library_name: transformers", "tags:", "- seqlm"]
    front += [f"pipeline_tag: {pipeline}"] if pipeline else []
    front += [*_index(card.name, results), "---"]
    body = [
        f"# {card.name}",
        f"A {card.architecture} with {card.parameters:,} parameters, trained with seqlm "
        f"{card.version} and exported at step {card.step}. Licence and intended use are not known "
        "to the run: add them before you publish.",
        "## Training",
        _table(
            ("setting", "value"), [(k, card.settings[k]) for k in SETTINGS if k in card.settings]
        ),
        "## Evaluation",
        *(_result(row) for row in results),
        *_last_validation(card.workdir),
        "## Use",
        "```python\nimport transformers\nfrom transformers import AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{card.name}")\n'
        f'model = transformers.{card.architecture}.from_pretrained("{card.name}")\n```',
    ]
    return "\n".join(front) + "\n\n" + "\n\n".join(body) + "\n"


def evaluations(workdir: Path) -> list[dict[str, Any]]:
    """Returns the latest result of every task on which the run was evaluated."""
    files = sorted((workdir / RESULTS).glob("*/*-metrics.jsonl"))
    return [rows[-1] for file in files if (rows := read_lines(file))]


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {k: x for k, x in row.items() if type(x) in (int, float) and k != "step"}


def _index(name: str, results: list[dict[str, Any]]) -> list[str]:
    """Returns `model-index` for the front matter, as JSON, which is valid YAML."""
    entries = [
        {
            "task": {"type": "evaluation"},
            "dataset": {"name": str(row.get("task")), "type": str(row.get("task"))},
            "metrics": [{"type": k, "value": x} for k, x in _numbers(row).items()],
        }
        for row in results
    ]
    index = [{"name": name, "results": entries}]
    return [f"model-index: {json.dumps(index)}"] if entries else []


def _result(row: Mapping[str, Any]) -> str:
    """Returns one evaluation as a table, with its signature."""
    numbers = _numbers(row)
    others = {k: x for k, x in row.items() if k not in numbers}
    signature = json.dumps(others, ensure_ascii=False, sort_keys=True)
    cells = [(name, f"{number:.6g}") for name, number in numbers.items()]
    return f"{_table(('metric', 'value'), cells)}\n\nSignature: `{signature}`"


def _last_validation(workdir: Path) -> list[str]:
    """Returns the last validation metrics logged in training, if there are any."""
    rows = [row for row in read_lines(workdir / METRICS) if any("eval" in key for key in row)]
    cells = [(name, f"{number:.6g}") for name, number in _numbers(rows[-1]).items()] if rows else []
    return ["While it was trained:", _table(("metric", "value"), cells)] if cells else []


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {a} | {b} |" for a, b in (head, ("---", "---"), *rows)]
    return "\n".join(lines)
