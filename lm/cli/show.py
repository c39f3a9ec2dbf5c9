"""`lm show TASK`: shows the first examples of a task: raw, tokenized and as rows of a batch."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from lm.cli import flags
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.config import Config
    from lm.data.batching.preview import Preview

HELP = "show a task's examples: raw, tokenized, and as the model's packed rows"
EXAMPLE = """examples:
  lm show python_docs
  lm show multi30k_ende --split=validation --n=3
  lm show multi30k_ende --gin_file=papers/multi30k/transformer.gin
  lm show --gin_file=quickstart.gin --n=1
  lm show tinyshakespeare_char --gin.TASK_FEATURE_LENGTHS="{'targets': 64}"

For a task with prompt templates, such as flan_rte_zsopt, one example of each template is shown.

Lengths, feature converter and vocabulary are TASK_FEATURE_LENGTHS, FEATURE_CONVERTER and
VOCABULARY of the gin files, if bound."""

TASK = flags.TASK
_UNNAMED = f"lm show needs a task's name, or a gin file that binds {TASK}"
SETTINGS = {
    "name": TASK,
    "lengths": "TASK_FEATURE_LENGTHS",
    "converter": "FEATURE_CONVERTER",
    "vocabulary": "VOCABULARY",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    parser.add_argument(
        "task",
        metavar="TASK",
        nargs="?",
        help=f"task or mixture (default: {TASK} of the gin files)",
    )
    parser.add_argument("--split", default="train", help="split of the task (default: train)")
    parser.add_argument(
        "--n",
        type=flags.above_zero(int),
        default=2,
        help="examples and rows to show (default: 2)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="tokenizer to use: 'bytes', or the name or path of a SentencePiece model",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_gin(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the task's examples."""
    if args.task is None and not _has_gin(args):
        raise ConfigError(_UNNAMED)
    flags.refuse_misspelt_task(args, args.task)
    from lm.cli import preview_text
    from lm.data.batching.preview import preview
    from lm.data.registry import task_registry

    config = flags.load(args, roots=list(SETTINGS.values())) if _has_gin(args) else None
    settings = _settings(args, config)
    name = args.task or settings.get("name")
    if name is None:
        raise ConfigError(_UNNAMED)
    task_registry.find(name)
    found = preview(**settings | {"name": name}, split=args.split, number=args.n)
    notes = [*_tokenizer(settings, found), *(_notes(config, found) if config else [])]
    if args.json:
        print(json.dumps(_record(found) | {"notes": notes}, ensure_ascii=False))
    else:
        preview_text.show(found)
        print(*notes, sep="\n", end="\n" * bool(notes))
    return 0


def _has_gin(args: argparse.Namespace) -> bool:
    """Returns whether the flags name a configuration."""
    return bool(args.gin_file or args.gin_bindings)


def _tokenizer(settings: dict[str, Any], found: "Preview") -> list[str]:
    """Returns a note on the tokenizer, if training might use another one."""
    if "vocabulary" in settings or not found.tokens:
        return []
    return [
        "This is the task's own tokenizer. If your gin files bind VOCABULARY, pass them here too."
    ]


def _notes(config: "Config", found: "Preview") -> list[str]:
    """Returns a note if packed examples affect each other in training."""
    from lm.config import macros

    segments = [row[name] for row in found.rows for name in row if name.endswith("_segment_ids")]
    if not any(row.max() > 1 for row in segments):
        return []
    table = macros.table(config.bindings)
    return [
        f"{binding.written} = {value}: in training the examples of a row compete for experts; "
        "evaluation keeps them apart, as None does in training"
        for binding in config.bindings
        if binding.target.endswith("MixtureOfExperts") and binding.parameter == "capacity_factor"
        if (value := macros.expanded(binding.value, table)) is not None
    ]


def _settings(args: argparse.Namespace, config: "Config | None") -> dict[str, Any]:
    """Returns name, lengths, converter and vocabulary, if flags or gin files give them."""
    settings: dict[str, Any] = {}
    if config:
        settings = {k: config.value(macro) for k, macro in SETTINGS.items() if config.has(macro)}
    if args.tokenizer:
        settings["vocabulary"] = _vocabulary(args.tokenizer)
    return settings


def _vocabulary(name: str) -> Any:
    """Returns the byte vocabulary, or a SentencePiece model."""
    from lm.data import vocabulary

    if name == "bytes":
        return vocabulary.byte_vocabulary()
    return vocabulary.sentencepiece_vocabulary(name)


def _record(found: "Preview") -> dict[str, Any]:
    """Returns the preview as JSON values."""
    from lm.data.vocabulary import fingerprint

    return {
        "name": found.name,
        "split": found.split,
        "examples": dict(found.counts),
        "vocabularies": {
            name: {
                "kind": type(vocabulary).__name__,
                "size": vocabulary.vocab_size,
                "fingerprint": fingerprint(vocabulary),
            }
            for name, vocabulary in found.vocabularies.items()
        },
        "raw": list(found.raw),
        "tokens": list(found.tokens),
        "rows": [{name: value.tolist() for name, value in row.items()} for row in found.rows],
    }
