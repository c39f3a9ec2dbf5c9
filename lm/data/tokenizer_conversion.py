"""Writes a vocabulary as `tokenizer.json` and `tokenizer_config.json`, for AutoTokenizer.

A vocabulary read from such a file is written unchanged. Others keep their ids: a SentencePiece
model becomes Unigram or BPE with its normalizer; bytes and characters become single pieces. The
SentencePiece model is also written, as `tokenizer.model`, for converters to other runtimes.

Departures: text that spells a special token, such as `</s>`, is encoded as that token; the unknown
id is decoded as no text. Where the model normalizes, the library drops a combining mark after a
letter that is replaced (of two marks after `a`, the second) and does not compose halfwidth Korean.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seqio
from sentencepiece import sentencepiece_model_pb2 as protos

from lm.data.characters import CharacterVocabulary
from lm.data.special_tokens import COUNT
from lm.data.tokenizer_json import CONFIG, TOKENIZER, TokenizerVocabulary
from lm.errors import UserError
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

MODEL = "tokenizer.model"
PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
SPACE = "\u2581"
ENCODER_TOKENS = {"sep_token": "[SEP]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
Template = Sequence[str]
"""How `transformers` frames a text, and a pair of texts: `[CLS] $A [SEP]`."""

CAUSAL = (f"{PAD} $A", f"{PAD} $A $B")
"""A language model's texts follow the start token, which is the padding id."""
ENDED = (f"$A {EOS}", f"$A {EOS} $B {EOS}")
BERT_LIKE = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
XLNET_LIKE = ("$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2")
FUNNEL_LIKE = ("[CLS]:2 $A [SEP]", "[CLS]:2 $A [SEP] $B:1 [SEP]:1")


def write_tokenizer(vocabulary: seqio.Vocabulary, folder: Path, template: Template) -> None:
    """Writes the files of a vocabulary into a folder.

    Args:
        vocabulary: of the run.
        folder: an existing folder.
        template: special tokens around a text; a vocabulary from a `tokenizer.json` keeps its own.

    Raises:
        UserError: the vocabulary cannot be converted.
    """
    if isinstance(vocabulary, TokenizerVocabulary):
        for name in (TOKENIZER, CONFIG):
            (folder / name).write_bytes((vocabulary.folder / name).read_bytes())
        return
    is_encoder = "[SEP]" in template[0]
    tokenizer = converted(vocabulary)
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False, special=True) for text in (PAD, EOS, UNK)]
    )
    named = sentinels(vocabulary, is_encoder=is_encoder)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in named])
    ids = {text: tokenizer.token_to_id(text) for text in (PAD, EOS, *named)}
    special = [(text, i) for text, i in ids.items() if text in " ".join(template)]
    single, pair = template
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=special
    )
    roles = {"pad_token": PAD, "eos_token": EOS, "unk_token": UNK}
    roles |= ENCODER_TOKENS if is_encoder else {}
    roles |= {"bos_token": PAD} if template == CAUSAL else {}  # converters ask for its name
    tokenizer.save(str(folder / TOKENIZER))
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        (folder / MODEL).write_bytes(vocabulary.sp_model)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / CONFIG).write_text(json.dumps({**config, **roles}, indent=1), encoding="utf-8")


def sentinels(vocabulary: seqio.Vocabulary, *, is_encoder: bool) -> list[str]:
    """Returns names of the sentinels in the order of their ids, `<extra_id_0>` the last.

    Raises:
        UserError: an encoder's vocabulary has fewer than three.
    """
    number = vocabulary.extra_ids
    names = [f"<extra_id_{i}>" for i in reversed(range(number))]
    if not is_encoder:
        return names
    if number < COUNT:
        raise UserError(f"an encoder's vocabulary needs {COUNT} sentinels, this one has {number}")
    return [*names[: number - COUNT], *ENCODER_TOKENS.values()]


@functools.singledispatch
def converted(vocabulary: seqio.Vocabulary) -> Tokenizer:
    """Returns the tokenizer with the ids of a vocabulary, without its sentinels.

    Raises:
        UserError: vocabularies of this type cannot be converted.
    """
    raise UserError(f"a {type(vocabulary).__name__} has no form as tokenizer.json")


@converted.register
def _(vocabulary: seqio.ByteVocabulary) -> Tokenizer:
    """Every byte is a piece; no two are merged."""
    letters = _letters_of_bytes()
    ids = {PAD: 0, EOS: 1, UNK: 2} | {letters[byte]: 3 + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@converted.register
def _(vocabulary: CharacterVocabulary) -> Tokenizer:
    ids = {PAD: 0, EOS: 1, UNK: 2} | {c: 3 + i for i, c in enumerate(vocabulary.characters)}
    tokenizer = Tokenizer(models.WordLevel(vocab=ids, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


@converted.register
def _(vocabulary: seqio.SentencePieceVocabulary) -> Tokenizer:
    model = protos.ModelProto.FromString(vocabulary.sp_model)
    pieces = list(model.pieces)[: vocabulary.vocab_size - vocabulary.extra_ids]
    tokenizer = Tokenizer(_piece_model(model, [(p.piece, p.score) for p in pieces]))
    spec = model.normalizer_spec
    steps: list[Any] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "always" if spec.add_dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    ends = [decoders.Strip(" ", 1, 0)] if spec.add_dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    )
    own = [p.piece for p in pieces if p.type == protos.ModelProto.SentencePiece.USER_DEFINED]
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in own])
    return tokenizer


def _piece_model(model: Any, pieces: Sequence[tuple[str, float]]) -> Any:
    """Returns the model of the pieces of a SentencePiece model.

    Raises:
        UserError: it is of a type that has no counterpart.
    """
    types = protos.TrainerSpec.ModelType
    falls_back = model.trainer_spec.byte_fallback
    if model.trainer_spec.model_type == types.UNIGRAM:
        return models.Unigram(list(pieces), unk_id=2, byte_fallback=falls_back)
    if model.trainer_spec.model_type == types.BPE:
        ids = {piece: i for i, (piece, _) in enumerate(pieces)}
        return models.BPE(
            vocab=ids,
            merges=_merges(dict(pieces), ids),
            unk_token=UNK,
            fuse_unk=True,
            byte_fallback=falls_back,
        )
    kind = types.Name(model.trainer_spec.model_type).lower()
    raise UserError(f"a SentencePiece model of type {kind} has no form as tokenizer.json")


def _merges(scores: Mapping[str, float], ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns the merges of a BPE model, best pieces first."""
    found = []
    for piece, score in scores.items():
        halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        known = [(ids[a], ids[b], a, b) for a, b in halves if a in ids and b in ids]
        found += [(-score, *halves) for halves in known]
    return [(a, b) for *_, a, b in sorted(found)]


def _letters_of_bytes() -> list[str]:
    """Returns byte-level BPE's visible letter for each byte (GPT-2's release)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in visible}
    others = [byte for byte in range(256) if byte not in letters]
    letters |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


TEMPLATES: Mapping[str, Template] = {
    "bert": BERT_LIKE,
    "electra": BERT_LIKE,
    "funnel": FUNNEL_LIKE,
    "gpt2": CAUSAL,
    "switch_transformers": ENDED,
    "t5": ENDED,
    "xlnet": XLNET_LIKE,
}
