"""WordPiece, BERT's tokenizer: `token ##ized`, `##` before every piece but the first of a word.

The pieces are the merges of a SentencePiece BPE model over the words, so that the same text gives
the same bytes; the trainer of the library `tokenizers` draws between equal counts.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence

import sentencepiece

from lm.data.tokenizer_conversion import BERT_LIKE, SPACE
from lm.data.tokenizer_json import CONFIG, TOKENIZER
from lm.data.tokenizer_options import TrainerOptions
from lm.errors import UserError
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROLES = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
INSIDE = "##"
FOLDED = "_cf"  # the end of a rule that folds cases
# Options of SentencePiece without effect here, since text is split and normalized as in BERT.
WITHOUT_MEANING = (
    "byte_fallback",
    "remove_extra_whitespaces",
    "add_dummy_prefix",
    "allow_whitespace_only_pieces",
    "split_by_whitespace",
    "split_digits",
)


def words(sentences: Sequence[str], options: TrainerOptions) -> list[str]:
    """The sentences as words separated by single spaces, normalized and split as in BERT."""
    _check(options)
    empty = _empty(options)
    found = (empty.pre_tokenizer.pre_tokenize_str(_normalized(empty, s)) for s in sentences)
    return [" ".join(word for word, _ in split) for split in found if split]


def for_sentencepiece(options: TrainerOptions) -> TrainerOptions:
    """The options of the BPE model whose merges become the pieces."""
    return dataclasses.replace(
        options,
        model_type="bpe",
        byte_fallback=False,
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        user_defined_symbols=(),
    )


def tokenizer(model: bytes, options: TrainerOptions) -> Tokenizer:
    """The tokenizer of a BPE model over `words`.

    Args:
        model: of SentencePiece.
        options: `vocab_size` counts the special tokens too; a normalization rule that folds cases
            makes an uncased tokenizer, without accents.

    Raises:
        UserError: the text gives too few pieces, or has too many characters.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), the form of its release.
    """
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    pieces = list(dict.fromkeys(_pieces(processor, options)))[: options.vocab_size]
    if len(pieces) < options.vocab_size and options.hard_vocab_limit:
        raise UserError(
            f"the text gives {len(pieces)} pieces, fewer than vocab_size={options.vocab_size}: "
            "lower it, or give hard_vocab_limit=false"
        )
    found = _empty(options)
    ids = {piece: number for number, piece in enumerate(pieces)}
    found.model = models.WordPiece(ids, unk_token=ROLES["unk_token"])
    found.decoder = decoders.WordPiece()
    found.add_special_tokens([*ROLES.values(), *options.user_defined_symbols])
    single, pair = BERT_LIKE
    ends = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    found.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=ends
    )
    return found


def files(made: Tokenizer) -> dict[str, bytes]:
    """Name -> content of the files of a tokenizer."""
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **ROLES}
    return {
        TOKENIZER: made.to_str(pretty=True).encode(),
        CONFIG: json.dumps(config, indent=1).encode(),
    }


def _empty(options: TrainerOptions) -> Tokenizer:
    """A tokenizer without pieces, with BERT's normalization and splitting."""
    found = Tokenizer(models.WordPiece({ROLES["unk_token"]: 0}, unk_token=ROLES["unk_token"]))
    lowercase = options.normalization_rule_name.endswith(FOLDED)
    found.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return found


def _normalized(empty: Tokenizer, text: str) -> str:
    return empty.normalizer.normalize_str(text)


def _pieces(
    processor: sentencepiece.SentencePieceProcessor, options: TrainerOptions
) -> Iterator[str]:
    """Yields special tokens, each character at both ends of a word, and the merges in order."""
    yield from (*ROLES.values(), *options.user_defined_symbols)
    learned = [
        processor.IdToPiece(i)
        for i in range(processor.GetPieceSize())
        if not processor.IsControl(i) and not processor.IsUnknown(i)
    ]
    letters = sorted({letter for piece in learned for letter in piece} - {SPACE})
    yield from letters
    yield from (f"{INSIDE}{letter}" for letter in letters)
    for piece in learned:
        if piece != SPACE:
            yield piece[1:] if piece.startswith(SPACE) else f"{INSIDE}{piece}"


def _check(options: TrainerOptions) -> None:
    for field in dataclasses.fields(options):
        given = getattr(options, field.name)
        if field.name in WITHOUT_MEANING and given != field.default:
            raise UserError(f"{field.name}={given!r} means nothing for model_type=wordpiece")
