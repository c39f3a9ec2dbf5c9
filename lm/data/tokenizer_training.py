"""Trains a tokenizer and writes it with a recipe that reproduces it byte for byte."""

import collections
import dataclasses
import hashlib
import io
import itertools
import math
import platform
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece

from lm import disk
from lm.data import vocabulary, wordpiece
from lm.data.tokenizer_corpus import Counts, TaskText, TextFiles, select, usable
from lm.data.tokenizer_options import MODEL_TYPES, WORDPIECE, TrainerOptions
from lm.errors import UserError
from lm.parts import entry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SILENT = 2  # SentencePiece's level of errors
_BYTES_AND_SPECIAL_IDS = 259
_LOWEST_COVERAGE = 0.98  # SentencePiece refuses less
_REPORTED = {
    "too_long": "are longer than max_sentence_length",
    "nul": "hold a NUL character",
    "reserved": "hold the character U+2585, which SentencePiece reserves",
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained tokenizer.

    Attributes:
        folder: the tokenizer's folder.
        counts: sentences seen and used, and those left out by reason.
        pieces: number of pieces of the model, sentinels not counted.
        seconds: time of the training.
    """

    folder: Path
    counts: dict[str, int]
    pieces: int
    seconds: float


@entry
def train(
    *,
    name: str,
    corpus: TextFiles | TaskText,
    options: TrainerOptions,
    output_dir: str = "tokenizers",
    built_with: Mapping[str, str] | None = None,
) -> Trained:
    """Trains a tokenizer and writes `<output_dir>/<name>/{recipe.gin,*.model,*.vocab,SHA256SUMS}`.

    WordPiece has `tokenizer.json` and `tokenizer_config.json` in place of the model.

    Args:
        name: name of the tokenizer, of its folder and of its files.
        corpus: source of the text.
        options: options of the trainer.
        output_dir: parent of the tokenizer's folder.
        built_with: the `circumstances` of a recipe; differences give a warning.

    Raises:
        UserError: the text is empty or too small, or an option is wrong.
    """
    _check(name, options)
    started = time.monotonic()
    counts = Counts()
    sentences = select(usable(corpus, options.max_sentence_length, counts), options, counts)
    _warn_of_losses(counts)
    here = circumstances(corpus, sentences)
    _compare(built_with or {}, here)
    files, pieces = made(name, sentences, options)
    folder = Path(output_dir) / name
    _write(folder, {**files, "recipe.gin": recipe(name, corpus, options, here).encode()})
    return Trained(folder, dict(counts), pieces, time.monotonic() - started)


def made(name: str, sentences: list[str], options: TrainerOptions) -> tuple[dict[str, bytes], int]:
    """The files of a tokenizer, by name, and its number of pieces.

    Raises:
        UserError: there is no text, or the library refuses; says why and what to change.
    """
    if options.model_type == WORDPIECE:
        bpe = fit(wordpiece.words(sentences, options), wordpiece.for_sentencepiece(options))
        tokenizer = wordpiece.tokenizer(bpe, options)
        return wordpiece.files(tokenizer), tokenizer.get_vocab_size()
    model = fit(sentences, options)
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    ids = range(processor.GetPieceSize())
    pieces = [f"{processor.IdToPiece(i)}\t{processor.GetScore(i):g}\n" for i in ids]
    return {f"{name}.model": model, f"{name}.vocab": "".join(pieces).encode()}, len(pieces)


def fit(sentences: list[str], options: TrainerOptions) -> bytes:
    """The serialized model that SentencePiece trains on the sentences.

    Raises:
        UserError: SentencePiece refuses; says why and what to change.
    """
    if not sentences:
        raise UserError(
            "there is no sentence to train a tokenizer on; check the input or the split"
        )
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(options.random_seed)
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            minloglevel=_SILENT,
            **options.for_sentencepiece(),
        )
    except (RuntimeError, ValueError, OSError) as error:
        # "INTERNAL: src/trainer_interface.cc(744) [condition] reason", the last may be empty
        text = " ".join(str(error).split())
        match = re.fullmatch(r".*?\[(.*)\] ?(.*)", text)
        reason = (match[2] or match[1]) if match else text
        advice = _advice(sentences, options) if "required_chars" in reason else ""
        raise UserError(f"SentencePiece cannot train this model: {reason}{advice}") from error
    return model.getvalue()


def _advice(sentences: list[str], options: TrainerOptions) -> str:
    """Returns a coverage that leaves half of the pieces to longer ones; empty if it is too low."""
    half = max(0, options.vocab_size - _BYTES_AND_SPECIAL_IDS) // 2
    counts = collections.Counter(itertools.chain.from_iterable(sentences))
    share = sum(count for _, count in counts.most_common(half)) / counts.total()
    if share < _LOWEST_COVERAGE:
        return ""
    return f" With character_coverage={math.floor(share * 1e4) / 1e4} half of the pieces remain."


def circumstances(corpus: TextFiles | TaskText, sentences: list[str]) -> dict[str, str]:
    """What determines a model besides its options: the text and the libraries' versions.

    Python's version counts for tasks, which may read the interpreter's own files.
    """
    digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()
    python = {"python": platform.python_version()} if isinstance(corpus, TaskText) else {}
    return python | {"sentencepiece": sentencepiece.__version__, "text sha256": digest}


def recipe(
    name: str,
    corpus: TextFiles | TaskText,
    options: TrainerOptions,
    built_with: Mapping[str, str],
) -> str:
    """The gin file that rebuilds a tokenizer; it states every option, so defaults may change."""
    modules = [
        "lm.data.tokenizer_corpus",
        "lm.data.tokenizer_options",
        "lm.data.tokenizer_training",
    ]
    modules += [module] if (module := getattr(corpus, "mixture_or_task_module", "")) else []
    kind = type(corpus).__name__
    lines = [
        f"# The recipe of the tokenizer {name}; it is rebuilt, byte for byte, by",
        f"#   lm tokenizer train --gin_file=tokenizers/{name}/recipe.gin",
        "from __gin__ import dynamic_registration",
        "",
        *map(_import, modules),
        "",
        f"tokenizer_training.train.name = {name!r}",
        f"tokenizer_training.train.corpus = @tokenizer_corpus.{kind}()",
        "tokenizer_training.train.options = @tokenizer_options.TrainerOptions()",
        f"tokenizer_training.train.built_with = {dict(built_with)!r}",
        "",
        *_bindings(f"tokenizer_corpus.{kind}", corpus),
        "",
        *_bindings("tokenizer_options.TrainerOptions", options),
    ]
    return "\n".join(lines) + "\n"


def _import(module: str) -> str:
    package, _, name = module.rpartition(".")
    return f"from {package} import {name}" if package else f"import {name}"


def _bindings(target: str, values: Any) -> list[str]:
    fields = dataclasses.asdict(values)
    return [f"{target}.{field} = {value!r}" for field, value in fields.items()]


def _check(name: str, options: TrainerOptions) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(f"name={name!r}: use letters, digits, '_', '-' and '.' only")
    if options.model_type not in MODEL_TYPES:
        raise UserError(
            f"model_type={options.model_type!r}: must be one of {', '.join(MODEL_TYPES)}"
        )


def _compare(built_with: Mapping[str, str], here: Mapping[str, str]) -> None:
    for name, recorded in built_with.items():
        if here.get(name, recorded) != recorded:
            warnings.warn(
                f"the recipe was made with {name} {recorded[:16]}, this is {here[name][:16]}: "
                "the tokenizer may come out different",
                stacklevel=3,
            )


def _warn_of_losses(counts: Counts) -> None:
    for reason, text in _REPORTED.items():
        if counts[reason]:
            warnings.warn(f"{counts[reason]:,} sentences left out: they {text}", stacklevel=3)


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes the files of a tokenizer, each whole or not at all, and their sums."""
    sums = [f"{hashlib.sha256(contents[file]).hexdigest()}  {file}\n" for file in sorted(contents)]
    contents[vocabulary.SUMS_FILE] = "".join(sums).encode()
    with disk.writing(folder, "the tokenizer"):
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in contents.items():
            disk.replace(folder / file, data, what="the tokenizer")
