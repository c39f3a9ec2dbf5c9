"""The tokenizer of a Hugging Face folder, copied into a run folder, and its gin bindings.

`tokenizer.json` is copied. Older folders have files from which it can be built: `vocab.txt`
(WordPiece), `vocab.json` and `merges.txt` (byte-level BPE), or a SentencePiece model.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import tokenizers
from lm.config.syntax import Binding, Reference
from lm.data.tokenizer_json import CONFIG, ROLES, TOKENIZER, TokenizerVocabulary, open_tokenizer
from lm.data.vocabulary import SENTINELS, open_model
from lm.errors import UserError
from lm.interop.config_json import binding
from lm.json_file import read_bounded, read_object
from tokenizers import decoders, implementations, pre_tokenizers

MAP = "special_tokens_map.json"
MODELS = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
BRACKETED = {role: f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
ANGLED = {role: f"<{role}>" for role in BRACKETED}
# Defaults of the classes of `transformers` for special tokens that a folder does not name.
TOKENS: dict[str, dict[str, str]] = {
    "bert": BRACKETED,
    "electra": BRACKETED,
    "funnel": {**ANGLED, "bos": "<s>", "eos": "</s>"},
    "gpt2": dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>"),
    "switch_transformers": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
    "t5": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
    "xlnet": {**ANGLED, "bos": "<s>", "eos": "</s>"},
}
_MOST_SENTINELS = 1000


def copy_tokenizer(source: Path, target: Path, model_type: str) -> None:
    """Writes the tokenizer of a folder into a new, self-contained folder.

    Args:
        source: the Hugging Face folder.
        target: the folder to create.
        model_type: its default special tokens are used if the folder names none.

    Raises:
        UserError: there is no tokenizer, or it is damaged.
    """
    target.mkdir()
    models = [source / name for name in MODELS if (source / name).is_file()]
    if models and not (source / TOKENIZER).is_file():
        open_model(models[0])
        shutil.copyfile(models[0], target / MODELS[0])
        (target / CONFIG).write_text(json.dumps(_read(source / CONFIG)), encoding="utf-8")
        return
    data = _tokenizer_json(source, model_type)
    tokenizer = open_tokenizer(source / TOKENIZER, data)
    (target / TOKENIZER).write_bytes(data)
    config = _read(source / CONFIG)
    tokens = _read(source / MAP) | {key: x for key, x in config.items() if x is not None}
    usual = {f"{role}_token": text for role, text in TOKENS[model_type].items()}
    known = {key: text for key, text in usual.items() if tokenizer.token_to_id(text) is not None}
    names = {f"{role}_token" for role in ROLES}
    roles = {key: x for key, x in tokens.items() if key in names}
    text = json.dumps({**config, **known, **roles}, indent=1, ensure_ascii=False)
    (target / CONFIG).write_text(text, encoding="utf-8")


def token_roles(folder: Path) -> dict[str, int]:
    """Returns the ids of special tokens by role, from a folder written by `copy_tokenizer`."""
    return TokenizerVocabulary(folder).roles if (folder / TOKENIZER).is_file() else {}


def vocabulary_bindings(folder: Path, final: str) -> list[Binding]:
    """Returns the bindings of VOCABULARY to the tokenizer of a folder.

    Args:
        folder: the folder written by `copy_tokenizer`.
        final: the path that the folder will have, for gin.
    """
    if (folder / TOKENIZER).is_file():
        call = "lm.data.tokenizer_json.tokenizer_vocabulary"
        given: dict[str, Any] = {"folder": final}
    else:
        call = "lm.data.vocabulary.sentencepiece_vocabulary"
        given = {"name_or_path": f"{final}/{MODELS[0]}", "extra_ids": _sentinels(folder / CONFIG)}
    reference = Reference("", call, is_call=True)
    values = [binding(f"{call}.{name}", value) for name, value in given.items()]
    return [binding("VOCABULARY", reference), *values]


def _sentinels(path: Path) -> int:
    """Returns the number of sentinels that extend a SentencePiece model."""
    number = _read(path).get("extra_ids", SENTINELS)
    if type(number) is not int or not 0 <= number <= _MOST_SENTINELS:
        raise UserError(f"{path}: extra_ids = {number!r:.40} is no number of sentinels")
    return number


def _read(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _tokenizer_json(source: Path, model_type: str) -> bytes:
    """Returns `tokenizer.json`, built from older files if a folder has only those."""
    if (source / TOKENIZER).is_file():
        return read_bounded(source / TOKENIZER)
    lowercase = _read(source / CONFIG).get("do_lower_case", True)
    try:
        if (source / "vocab.txt").is_file():
            made = implementations.BertWordPieceTokenizer(
                str(source / "vocab.txt"), lowercase=bool(lowercase), **_word_pieces(model_type)
            )
            return made.to_str().encode()
        if (source / "merges.txt").is_file():
            return _byte_level(source).to_str().encode()
    except Exception as error:  # the library raises plain exceptions
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the tokenizer of {source} cannot be read: {reason}") from error
    raise UserError(f"{source} has no {TOKENIZER}; write it with save_pretrained of AutoTokenizer")


def _word_pieces(model_type: str) -> dict[str, str]:
    return {f"{role}_token": text for role, text in TOKENS[model_type].items() if role in BRACKETED}


def _byte_level(source: Path) -> tokenizers.Tokenizer:
    """Returns GPT-2's tokenizer."""
    files = (str(source / "vocab.json"), str(source / "merges.txt"))
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*files))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer
