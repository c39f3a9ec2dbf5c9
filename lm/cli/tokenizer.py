"""`lm tokenizer`: train tokenizers, encode, decode, compare tokenizers, count words."""

import argparse
import dataclasses
import functools
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lm.cli import flags
from lm.data.tokenizer_options import MODEL_TYPES, TrainerOptions
from lm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from lm.data.tokenizer_corpus import TaskText, TextFiles

HELP = "train, use and compare tokenizers"
EXAMPLE = """examples:
  lm tokenizer train --name=mine --input='texts/*.txt' --vocab_size=8000 --model_type=bpe
  lm tokenizer train --gin_file=tokenizers/python_docs_4k/recipe.gin --output_dir=/tmp/rebuilt
  echo 'Hello world' | lm tokenizer encode --tokenizer=python_docs_4k
  lm tokenizer decode --tokenizer=byte --text='75 104 111'
  lm tokenizer report --tokenizer=python_docs_4k --against=byte --task=python_docs
  lm tokenizer words --task=imdb_paragraphs --min_count=2 --output=runs/imdb_words.tsv"""
TRAIN = "lm.data.tokenizer_training.train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the five commands and their flags."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = functools.partial(flags.add_command, commands, EXAMPLE)
    _add_train(add("train", train, "train a model and write its folder"))
    encode_parser = add("encode", encode, "text to ids, one text per line")
    _add_tokenizer(encode_parser)
    encode_parser.add_argument(
        "--output", choices=("ids", "pieces"), default="ids", help="what to print (default: ids)"
    )
    _add_text(encode_parser)
    decode_parser = add("decode", decode, "ids to text, one sequence per line")
    _add_tokenizer(decode_parser)
    _add_text(decode_parser)
    _add_report(add("report", report, "metrics of a tokenizer on a text"))
    _add_words(add("words", words, "write the words of a text with their counts"))


def run(args: argparse.Namespace) -> int:
    """Runs the chosen command; a misspelt task is refused before a framework is loaded."""
    if fault := flags.misspelt_task(vars(args).get("task")):
        raise fault
    return args.command(args)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name of the tokenizer, of its folder and its files")
    parser.add_argument(
        "--model_prefix",
        metavar="DIR/NAME",
        help="--output_dir and --name in one, as in SentencePiece",
    )
    parser.add_argument(
        "--output_dir", metavar="DIR", help="where the folder is made (default: tokenizers)"
    )
    _add_corpus(parser)
    group = parser.add_argument_group(
        "SentencePiece's own flags", "pad 0, eos 1, unk 2 and no bos are fixed"
    )
    for field in dataclasses.fields(TrainerOptions):
        _add_option(group, field)
    flags.add_gin(parser)


def _add_option(group: Any, field: dataclasses.Field) -> None:
    """Adds the flag of a training option; its default is that of `TrainerOptions`."""
    given = "required" if field.default is dataclasses.MISSING else f"default: {field.default}"
    text = f"{_explained(field.name)} ({given})".replace("%", "%%")
    keywords: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if field.type is bool:
        keywords |= {"type": _truth, "nargs": "?", "const": True, "metavar": "true|false"}
    elif field.type in (int, float, str):
        keywords |= {"type": field.type, "metavar": field.type.__name__.upper()}
    else:
        keywords |= {"type": lambda text: tuple(text.split(",")), "metavar": "A,B"}
    if field.name == "model_type":
        keywords |= {"choices": MODEL_TYPES, "metavar": "|".join(MODEL_TYPES)}
    group.add_argument(f"--{field.name}", **keywords)


def _explained(option: str) -> str:
    """Returns the description of an option from the docstring of `TrainerOptions`."""
    found = re.search(
        rf"^ +{option}: (.*(?:\n {{12,}}.*)*)", TrainerOptions.__doc__ or "", re.MULTILINE
    )
    return " ".join(found[1].split()).removesuffix(".") if found else option


def _truth(text: str) -> bool:
    """Parses a boolean flag as SentencePiece does."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", metavar="FILES", help="text files or globs, comma-separated")
    parser.add_argument(
        "--on_error",
        choices=("raise", "skip"),
        default="raise",
        help="at invalid UTF-8, CRLF and the like: stop, or leave out and count (default: raise)",
    )
    parser.add_argument(
        "--task", metavar="NAME", help="take the text of this task or mixture instead"
    )
    parser.add_argument(
        "--split", help="split of the task (default: train; in a report: validation)"
    )
    parser.add_argument(
        "--features",
        default="",
        metavar="A,B",
        help="features of the task that hold the text (default: all)",
    )


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer",
        default="byte",
        metavar="NAME|PATH",
        help="a SentencePiece model, or byte (the default, which needs no file)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text", action="append", help="the text; repeatable (default: --input, else stdin)"
    )
    parser.add_argument("--input", metavar="FILE", help="file with one text per line")


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="NAME|PATH",
        help="another tokenizer to compare with; repeatable",
    )
    parser.add_argument(
        "--text", action="append", help="the text; repeatable (default: --input, --task or stdin)"
    )
    _add_corpus(parser)


def _add_words(parser: argparse.ArgumentParser) -> None:
    _add_corpus(parser)
    parser.add_argument(
        "--min_count",
        type=flags.above_zero(int),
        default=5,
        help="omit words that occur less often (default: 5)",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="table to write")


def train(args: argparse.Namespace) -> int:
    """Trains from a recipe or from flags and prints a summary."""
    from lm.data.vocabulary import SENTINELS

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _warn
        found = _train_recipe(args) if args.gin_file else _train_flags(args)
    counts = found.counts
    left_out = [
        f"{n:,} {reason}".replace("_", " ")
        for reason, n in counts.items()
        if reason not in ("seen", "used")
    ]
    print(
        f"{found.folder}: {found.pieces:,} pieces from {counts['used']:,} of {counts['seen']:,} "
        f"sentences in {found.seconds:.1f} s; left out: {', '.join(left_out) or 'none'}"
    )
    print(
        f"\n{SENTINELS} sentinels, for span corruption, follow the pieces. In a gin file:\n"
        "  VOCABULARY = @vocabulary.sentencepiece_vocabulary()\n"
        f"  vocabulary.sentencepiece_vocabulary.name_or_path = '{found.folder}'\n"
        f"  VOCABULARY_SIZE = {found.pieces + SENTINELS}\n"
        "and one that begins with `from __gin__ import dynamic_registration` also needs\n"
        "  from lm.data import vocabulary"
    )
    return 0


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"lm: warning: {message}", file=sys.stderr)


def _train_recipe(args: argparse.Namespace) -> Any:
    given = _options(args)
    if given or args.name or args.input or args.task:
        example = next(iter(given), "vocab_size")
        raise ConfigError(
            "change a recipe's values by bindings, such as "
            f"--gin.tokenizer_options.TrainerOptions.{example}=VALUE"
        )
    config = flags.load(args, roots=[TRAIN])
    folder = {"output_dir": args.output_dir} if args.output_dir else {}
    return config.configured(TRAIN)(**folder)


def _train_flags(args: argparse.Namespace) -> Any:
    from lm.data import tokenizer_training

    prefix = Path(args.model_prefix or "")
    name, options = args.name or prefix.name, _options(args)
    if not name or "vocab_size" not in options:
        raise ConfigError("give --gin_file=RECIPE, or --name, --vocab_size and --input or --task")
    return tokenizer_training.train(
        name=name,
        corpus=_corpus(args, default_split="train"),
        options=TrainerOptions(**options),
        output_dir=args.output_dir or (str(prefix.parent) if args.model_prefix else "tokenizers"),
    )


def _options(args: argparse.Namespace) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(TrainerOptions)]
    return {name: value for name, value in vars(args).items() if name in names}


def _corpus(args: argparse.Namespace, *, default_split: str) -> "TextFiles | TaskText":
    from lm.data.registry import task_registry
    from lm.data.tokenizer_corpus import TaskText, TextFiles

    if bool(args.input) == bool(args.task):
        raise ConfigError("give the text: --input=FILES or --task=NAME")
    if args.input:
        return TextFiles(input=args.input, on_error=args.on_error)
    task_registry.find(args.task)
    modules = [module for module in task_registry.task_modules() if args.task.startswith(module)]
    return TaskText(
        mixture_or_task_name=args.task,
        mixture_or_task_module=f"tasks.{max(modules, key=len)}" if modules else "",
        split=args.split or default_split,
        features=tuple(flags.split(args.features)),
    )


def words(args: argparse.Namespace) -> int:
    """Writes the words of a corpus, most frequent first."""
    from lm import disk
    from lm.data.paragraphs.words import count, lines
    from lm.data.special_ids import SPECIAL_IDS

    found = count(_corpus(args, default_split="train"), min_count=args.min_count)
    path = Path(args.output)
    with disk.writing(path, "the words"):
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(path, "".join(lines(found)).encode(), what="the words")
    print(f"{path}: {len(found):,} words, VOCABULARY_SIZE = {len(found) + SPECIAL_IDS}")
    return 0


def encode(args: argparse.Namespace) -> int:
    """Prints the ids or the pieces of each text."""
    from lm.data import tokenizer_report, vocabulary

    tokenizer = vocabulary.by_name(args.tokenizer)
    for text in _texts(args):
        ids = [int(token) for token in tokenizer.encode(text)]
        pieces = [tokenizer_report.piece_text(tokenizer, token) for token in ids]
        shown = {"text": text, "ids": ids, "pieces": pieces}
        plain = " ".join(map(str, ids if args.output == "ids" else pieces))
        print(json.dumps(shown, ensure_ascii=False) if args.json else plain)
    return 0


def decode(args: argparse.Namespace) -> int:
    """Prints the text of each line of ids, up to its first end of sequence."""
    from lm.data import vocabulary

    tokenizer = vocabulary.by_name(args.tokenizer)
    for line in _texts(args):
        ids = _ids(line)
        text = vocabulary.decode(tokenizer, ids)
        shown = json.dumps({"ids": ids, "text": text}, ensure_ascii=False) if args.json else text
        print(shown)
    return 0


def _ids(line: str) -> list[int]:
    try:
        return [int(word) for word in line.replace(",", " ").split()]
    except ValueError as error:
        raise UserError(f"{line[:60]!r} is not a list of ids such as '12 7 1'") from error


def _texts(args: argparse.Namespace) -> Iterator[str]:
    """Yields the texts of --text, the lines of --input, or those of standard input."""
    if args.text:
        yield from args.text
    elif not args.input:
        yield from _lines("stdin", sys.stdin.buffer)
    elif not Path(args.input).is_file():
        raise UserError(f"--input={args.input}: no such file")
    else:
        with open(args.input, "rb") as file:
            yield from _lines(args.input, file)


def _lines(name: str, file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            yield line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UserError(f"{name}:{number}: invalid UTF-8; convert it") from error


def report(args: argparse.Namespace) -> int:
    """Prints the metrics of the tokenizers side by side."""
    from lm.data import tokenizer_report, vocabulary

    from_corpus = args.input or args.task
    texts = list(_corpus(args, default_split="validation") if from_corpus else _texts(args))
    names = [args.tokenizer, *args.against]
    reports = {n: tokenizer_report.measure(vocabulary.by_name(n), texts) for n in names}
    plain = {name: dataclasses.asdict(found) for name, found in reports.items()}
    print(json.dumps(plain, ensure_ascii=False) if args.json else tokenizer_report.table(reports))
    return 0
