"""Vocabularies that a gin file can name: bytes (the default), SentencePiece models, characters.

All have the ids 0 for padding, 1 for the end of a sequence and 2 for unknown text. The vocabulary
of a Hugging Face folder keeps its own ids: `lm.data.tokenizer_json`.
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import seqio

from lm import resources
from lm.data.characters import CharacterVocabulary
from lm.data.tokenizer_json import TOKENIZER, TokenizerVocabulary, tokenizer_vocabulary
from lm.errors import UserError
from lm.parts import value

SENTINELS = 100
SPECIAL_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2}
SUMS_FILE = "SHA256SUMS"


@value
def byte_vocabulary(*, extra_ids: int = 0) -> seqio.ByteVocabulary:
    """The 256 byte values of UTF-8 after the three special ids; needs no file.

    Args:
        extra_ids: number of sentinels at the end, for span corruption.

    Example:
        >>> byte_vocabulary().encode("a b")
        [100, 35, 101]
    """
    return seqio.ByteVocabulary(extra_ids=extra_ids)


@value
def character_vocabulary(characters: str) -> CharacterVocabulary:
    """One id per character of a fixed set.

    Args:
        characters: the set, each character once; their order gives the ids, from 3 on.

    Raises:
        UserError: if the set is empty or names a character twice.
    """
    try:
        return CharacterVocabulary(characters)
    except ValueError as error:
        raise UserError(f"characters={characters!r}: {error}") from error


@value
def sentencepiece_vocabulary(
    name_or_path: str, *, extra_ids: int = SENTINELS
) -> seqio.SentencePieceVocabulary:
    """A SentencePiece model, checked before any other library reads it.

    Args:
        name_or_path: a name under ``tokenizers/``, a folder with one ``.model``, or a model file.
        extra_ids: number of sentinels after the pieces, ``<extra_id_0>`` being the last id.

    Raises:
        UserError: if there is no such model, it is damaged or differs from its SHA256SUMS, or its
            padding, end and unknown ids are not 0, 1 and 2.
    """
    path = find_model(name_or_path)
    verify_sums(path)
    open_model(path)  # TF: a hostile model kills the process inside tensorflow_text
    vocabulary = seqio.SentencePieceVocabulary(str(path), extra_ids)
    try:
        vocabulary.load_model()
    except Exception as error:
        raise UserError(f"{path}: {extra_ids} sentinels cannot be added ({error})") from error
    return vocabulary


def by_name(name_or_path: str) -> seqio.Vocabulary:
    """The vocabulary of a name or path.

    This is `byte`, a folder with `tokenizer.json`, or the name or path of a SentencePiece model.
    """
    if name_or_path == "byte":
        return byte_vocabulary()
    for folder in (Path(name_or_path), resources.tokenizers_folder() / name_or_path):
        if (folder / TOKENIZER).is_file():
            return tokenizer_vocabulary(str(folder))
    return sentencepiece_vocabulary(name_or_path)


def find_model(name_or_path: str) -> Path:
    """The model file of a tokenizer's name, folder or path.

    Raises:
        UserError: no model or several are found.
    """
    path = Path(name_or_path)
    folder = path if path.is_dir() else resources.tokenizers_folder() / name_or_path
    if path.is_file():
        return path.resolve()
    models = sorted(folder.glob("*.model")) if folder.is_dir() else []
    if len(models) != 1:
        found = f"{folder} holds {len(models)} .model files" if folder.is_dir() else "no such file"
        names = ", ".join(["byte", *tokenizer_names()])
        raise UserError(
            f"tokenizer {name_or_path!r}: {found}; give a .model file or a name (known: {names})"
        )
    return models[0].resolve()


def tokenizer_names() -> list[str]:
    """Names of the tokenizers that ship with the package."""
    return sorted(model.parent.name for model in resources.tokenizers_folder().glob("*/*.model"))


def verify_sums(model: Path) -> None:
    """Compares a model with the SHA256SUMS beside it, when there is one that lists it.

    Raises:
        UserError: the file's hash differs.
    """
    sums = model.parent / SUMS_FILE
    if not sums.is_file():
        return
    lines = sums.read_text("utf-8", errors="replace").splitlines()
    stated = {name.lstrip(" *"): sha for sha, _, name in (line.partition(" ") for line in lines)}
    expected = stated.get(model.name)
    actual = hashlib.sha256(model.read_bytes()).hexdigest()
    if expected not in (None, actual):
        raise UserError(
            f"{model}: sha256 is {actual[:16]}…, {sums.name} says {expected[:16]}…; "
            "the file was changed or damaged, restore it or rebuild it by its recipe"
        )


def open_model(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Opens a model with the SentencePiece library, which refuses damaged files cleanly.

    Raises:
        UserError: the model is damaged, or its special ids are not 0, 1 and 2.
    """
    processor = sentencepiece.SentencePieceProcessor()
    try:
        data = path.read_bytes()
        if not data:
            raise RuntimeError("the file is empty")
        processor.LoadFromSerializedProto(data)
        processor.IdToPiece(list(range(processor.GetPieceSize())))
        processor.DecodeIds(processor.EncodeAsIds("probe \u2581 1"))
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no usable SentencePiece model: {reason}") from error
    _check_special_ids(path, processor)
    return processor


def _check_special_ids(path: Path, processor: sentencepiece.SentencePieceProcessor) -> None:
    found = {name: getattr(processor, name)() for name in SPECIAL_IDS}
    if found != SPECIAL_IDS:
        raise UserError(
            f"{path} has {_assignments(found)}, needed are {_assignments(SPECIAL_IDS)}: "
            "train it again with these ids (lm tokenizer train does)"
        )


def _assignments(values: dict[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def decode(vocabulary: seqio.Vocabulary, ids: Iterable[int]) -> str:
    """Text of ids up to the first end of sequence; unlike SeqIO, refuses ids that are too large.

    Raises:
        UserError: an id is outside the vocabulary.
    """
    ids = [int(i) for i in ids]
    last = vocabulary.vocab_size - 1
    outside = [i for i in ids if not 0 <= i <= last]
    if outside:
        raise UserError(f"id {outside[0]} is outside the vocabulary (0..{last})")
    return vocabulary.decode(ids)


def title(vocabulary: seqio.Vocabulary) -> str:
    """The kind of a vocabulary and, where it was read from a file or folder, the name of that.

    Example:
        >>> title(byte_vocabulary()), title(sentencepiece_vocabulary("python_docs_4k"))
        ('ByteVocabulary', 'SentencePieceVocabulary python_docs_4k')
    """
    kind = type(vocabulary).__name__
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return f"{kind} {Path(vocabulary.sentencepiece_model_file).stem}"
    if isinstance(vocabulary, TokenizerVocabulary):
        return f"{kind} {vocabulary.folder.name}"
    return kind


@functools.singledispatch
def contents(vocabulary: seqio.Vocabulary) -> bytes:
    """Everything that determines how a vocabulary encodes and decodes text, as bytes."""
    texts = [vocabulary.decode([i]) for i in range(vocabulary.vocab_size)]
    return repr(texts).encode()


@contents.register
def _(vocabulary: seqio.SentencePieceVocabulary) -> bytes:
    return vocabulary.sp_model


@contents.register
def _(vocabulary: TokenizerVocabulary) -> bytes:
    return vocabulary.data + repr(sorted(vocabulary.roles.items())).encode()


@contents.register
def _(vocabulary: seqio.ByteVocabulary) -> bytes:
    return b"UTF-8"


def fingerprint(vocabulary: seqio.Vocabulary) -> str:
    """A sha256 that two vocabularies share only if they map texts to the same ids.

    Example:
        >>> fingerprint(byte_vocabulary()) == fingerprint(byte_vocabulary(extra_ids=100))
        False
    """
    specials = (vocabulary.pad_id, vocabulary.eos_id, vocabulary.unk_id, vocabulary.extra_ids)
    head = f"{type(vocabulary).__name__} {specials} ".encode()
    return hashlib.sha256(head + contents(vocabulary)).hexdigest()
