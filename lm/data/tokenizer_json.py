"""The vocabulary of a Hugging Face folder: `tokenizer.json`, read by the library `tokenizers`.

For WordPiece, byte-level BPE and Unigram. `tokenizer_config.json` names the special tokens:

    pad_token, eos_token, unk_token, bos_token, mask_token, cls_token, sep_token
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

import tokenizers
from lm.errors import UserError
from lm.json_file import read_bounded, read_object
from lm.parts import value

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
ROLES = ("pad", "eos", "unk", "bos", "mask", "cls", "sep")
_INSIDE, _SPACES = "##", ("\u2581", "\u0120")  # "\u0120" is byte-level BPE's space
_SENTINEL = "<extra_id_{}>"


class TokenizerVocabulary(seqio.Vocabulary):
    """The ids of a `tokenizer.json`, as in `transformers`; adds no token to a text.

    Special tokens of the file are recognized in a text, and decoded as no text. The end of a text
    is `eos_token`, else `sep_token` as in BERT, else `pad_token`.

    Args:
        folder: holds `tokenizer.json` and, with the special tokens, `tokenizer_config.json`.

    Attributes:
        roles: special token, such as `eos_token` -> id, for those that the file names.

    Raises:
        UserError: a file is missing or damaged, or names an unknown token.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.data = read_bounded(self.folder / TOKENIZER)
        self.tokenizer = open_tokenizer(self.folder / TOKENIZER, self.data)
        self.roles = _roles(self.folder / CONFIG, self.tokenizer)
        ids = self.tokenizer.get_vocab(with_added_tokens=True)
        self._size = max(ids.values()) + 1
        super().__init__(extra_ids=_number_of_sentinels(ids, self._size))

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenizerVocabulary":
        """Returns itself: gin copies every value, and this one never changes."""
        return self

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Pickles the folder's name."""
        return type(self), (self.folder,)

    @property
    def pad_id(self) -> int:
        """The id that fills a row; padding is recognized by its segment, not by this id."""
        return self.roles.get("pad", 0)

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text."""
        return next((self.roles[r] for r in ("eos", "sep", "pad") if r in self.roles), None)

    @property
    def bos_id(self) -> int | None:
        """The id that begins a text, if there is one."""
        return self.roles.get("bos")

    @property
    def unk_id(self) -> int | None:
        """The id of unknown text; byte-level BPE has none."""
        return self.roles.get("unk")

    @property
    def vocab_size(self) -> int:
        """The number of ids, sentinels included."""
        return self._size

    @property
    def _base_vocab_size(self) -> int:
        return self._size

    def special_ids(self) -> set[int]:
        """The ids that are not text: named special tokens, sentinels and those declared special."""
        declared = self.tokenizer.get_added_tokens_decoder().items()
        return {*self.roles.values(), *(i for i, token in declared if token.special)}

    def piece(self, token: int) -> str:
        """The piece of an id as the file spells it; an id without one is empty."""
        return self.tokenizer.id_to_token(token) or ""

    def begins_word(self, token: int) -> bool:
        """Whether the id begins a word, by the marker of the tokenizer's model."""
        model = type(self.tokenizer.model).__name__
        piece = self.piece(token)
        return not piece.startswith(_INSIDE) if model == "WordPiece" else piece[:1] in _SPACES

    def _encode(self, s: str) -> list[int]:
        return self.tokenizer.encode(s, add_special_tokens=False).ids

    def _decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=True)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encoded(text: bytes) -> np.ndarray:
            return np.array(self._encode(text.decode(errors="replace")), np.int32)

        # Without a state, so that the position of an iterator over it can be saved.
        ids = tf.numpy_function(encoded, [s], tf.int32, stateful=False)
        return tf.ensure_shape(ids, [None])

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        def decoded(rows: np.ndarray) -> Any:
            texts = [self._decode(row).encode() for row in rows.reshape(-1, rows.shape[-1])]
            return np.array(texts, object).reshape(rows.shape[:-1])

        return tf.ensure_shape(tf.numpy_function(decoded, [ids], tf.string), ids.shape[:-1])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TokenizerVocabulary)
            and self.data == other.data
            and self.roles == other.roles
        )

    def __hash__(self) -> int:
        return hash(self.data)

    def __str__(self) -> str:
        return f"TokenizerVocabulary(folder={self.folder}, size={self._size})"


@value
def tokenizer_vocabulary(folder: str) -> TokenizerVocabulary:
    """The vocabulary of a folder with `tokenizer.json`, such as one that `lm import` wrote.

    Args:
        folder: holds `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        UserError: a file is missing or damaged, or names an unknown token.
    """
    files = [Path(folder) / name for name in (TOKENIZER, CONFIG)]
    stamp = tuple(hashlib.sha256(read_bounded(f)).digest() for f in files if f.is_file())
    return _opened(folder, stamp)


@functools.lru_cache(maxsize=8)
def _opened(folder: str, stamp: tuple[bytes, ...]) -> TokenizerVocabulary:
    """The vocabulary of a folder in its present state; gin calls a macro's factory at every use."""
    del stamp
    return TokenizerVocabulary(folder)


def open_tokenizer(path: Path, data: bytes) -> tokenizers.Tokenizer:
    """The tokenizer of a file's bytes, tested on a short text; truncation and padding are off.

    Raises:
        UserError: the file is damaged.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(data.decode())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        probe = tokenizer.encode("probe \u2581 1", add_special_tokens=False)
        tokenizer.decode(probe.ids)
        if not tokenizer.get_vocab_size(with_added_tokens=True):
            raise ValueError("it has no tokens")
    except BaseException as error:  # a panic of the library is not an Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no usable tokenizer: {reason}") from error
    return tokenizer


def _roles(path: Path, tokenizer: tokenizers.Tokenizer) -> dict[str, int]:
    """Special token -> id by `tokenizer_config.json`; empty if there is no such file.

    Raises:
        UserError: it names a token that the tokenizer does not have.
    """
    config = read_object(path) if path.is_file() else {}
    roles = {}
    for role in ROLES:
        token = config.get(f"{role}_token")
        text = token.get("content") if isinstance(token, Mapping) else token
        if text is None:
            continue
        found = tokenizer.token_to_id(text) if isinstance(text, str) else None
        if found is None:
            raise UserError(
                f"{path}: {role}_token is {text!r:.60}, which {TOKENIZER} does not have"
            )
        roles[role] = found
    return roles


def _number_of_sentinels(ids: Mapping[str, int], size: int) -> int:
    """Number of T5's sentinels at the end of the ids, `<extra_id_0>` being the last."""
    count = 0
    while ids.get(_SENTINEL.format(count)) == size - 1 - count:
        count += 1
    return count
