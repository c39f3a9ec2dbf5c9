"""The settings of a SentencePiece training, by SentencePiece's own names; loads no framework."""

import dataclasses
from typing import Any

from lm.parts import value

WORDPIECE = "wordpiece"
MODEL_TYPES = ("unigram", "bpe", "char", "word", WORDPIECE)
_OURS = ("input_sentence_size", "shuffle_input_sentence", "random_seed")


@value
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Options of SentencePiece's trainer; pad 0, eos 1, unk 2 and no bos are fixed.

    Departures from SentencePiece's defaults: byte fallback is on, and one thread is the default
    since the vocabulary depends on their number. `bpe` counts integers and so gives the same bytes
    on every machine; `unigram` sums floating-point numbers.

    Args:
        vocab_size: number of pieces, special ids and bytes included, sentinels not.
        model_type: "unigram", "bpe", "char" or "word"; "wordpiece" is BERT's (`lm.data.wordpiece`).
        character_coverage: fraction of the text's characters that get a piece; 1.0 for all.
        byte_fallback: spell characters without a piece as UTF-8 bytes, so that nothing is unknown.
        input_sentence_size: number of sentences to train on, drawn from all; 0 takes all.
        shuffle_input_sentence: choose them at random, rather than taking the first.
        random_seed: seed of that choice.
        max_sentence_length: longer sentences (in bytes) are left out and counted.
        num_threads: threads of the training; the result depends on it.
        normalization_rule_name: "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf" or "identity".
        remove_extra_whitespaces: strip and merge spaces; with False and "identity" text survives.
        add_dummy_prefix: put a space before the text, so that its first word looks like the others.
        allow_whitespace_only_pieces: let a run of spaces be one piece, as for indented text.
        split_by_whitespace: no piece crosses a space.
        split_digits: every digit is its own piece.
        max_sentencepiece_length: the longest piece, in characters.
        hard_vocab_limit: fail rather than give fewer pieces than `vocab_size`.
        user_defined_symbols: strings that are always one piece.
    """

    vocab_size: int
    model_type: str = "unigram"
    character_coverage: float = 0.9995
    byte_fallback: bool = True
    input_sentence_size: int = 0
    shuffle_input_sentence: bool = True
    random_seed: int = 0
    max_sentence_length: int = 4192
    num_threads: int = 1
    normalization_rule_name: str = "nmt_nfkc"
    remove_extra_whitespaces: bool = True
    add_dummy_prefix: bool = True
    allow_whitespace_only_pieces: bool = False
    split_by_whitespace: bool = True
    split_digits: bool = False
    max_sentencepiece_length: int = 16
    hard_vocab_limit: bool = True
    user_defined_symbols: tuple[str, ...] = ()

    def for_sentencepiece(self) -> dict[str, Any]:
        """Arguments of SentencePiece's trainer; the sampling is done before it."""
        # SentencePiece formats lists correctly for its flags, but not tuples.
        symbols = list(self.user_defined_symbols)
        values = dataclasses.asdict(self) | {"user_defined_symbols": symbols}
        ours = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
        return {name: v for name, v in values.items() if name not in _OURS} | ours
