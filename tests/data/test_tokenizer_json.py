"""Vocabularies of a `tokenizer.json`, and every other vocabulary converted to one: equal ids."""

import copy
import gzip
import pickle

import numpy as np
import pytest
import tensorflow as tf

from lm.data import vocabulary
from lm.data.characters import CharacterVocabulary
from lm.data.special_tokens import is_text, mask_token, random_tokens, special_tokens
from lm.data.storage.files import data_dir
from lm.data.tokenizer_conversion import BERT_LIKE, CAUSAL, ENDED, write_tokenizer
from lm.data.tokenizer_json import TokenizerVocabulary, tokenizer_vocabulary
from lm.data.tokenizer_options import TrainerOptions
from lm.data.tokenizer_training import made
from lm.errors import UserError
from tests.interop import golden_folder

HOSTILE = [
    "",
    " ",
    "   two  spaces   ",
    "tab\tand\nnew line\r\n",
    "Zürich naïve Ａ１ ½ ﬁ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 and 😀😀",
    "e\u0301 one combining mark",
    "nul \x00 inside",
    "שלום עולם مرحبا بالعالم",
    "漢字かな交じり文한국어",
    "x" * 3000,
    "𝕳𝖊𝖑𝖑𝖔 \u200b\u200d\ufeff\u2028",
    "don't stop-believing, it's 3.14%!",
    "\U0010ffff\ue000",
    "\u2581under \u2581\u2581",
    "a\u00a0b\u3000c",
]
PLAIN = {
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": False,
}


@pytest.fixture(scope="module")
def lines():
    files = sorted((data_dir() / "novels_dev").rglob("*.txt.gz"))
    if not files:
        pytest.skip("needs the data set novels_dev")
    with gzip.open(files[0], "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line, _ in zip(file, range(1200), strict=False)]


def trained(lines, folder, **options):
    """A SentencePiece model of the lines."""
    files, _ = made("m", lines, TrainerOptions(vocab_size=700, **options))
    (folder / "m.model").write_bytes(files["m.model"])
    return vocabulary.sentencepiece_vocabulary(str(folder / "m.model"))


VOCABULARIES = {
    "bytes": lambda lines, folder: vocabulary.byte_vocabulary(extra_ids=100),
    "characters": lambda lines, folder: CharacterVocabulary("".join(sorted(set("".join(lines))))),
    "shipped": lambda lines, folder: vocabulary.sentencepiece_vocabulary("python_docs_4k"),
    "unigram": lambda lines, folder: trained(lines, folder),
    "unigram, plain": lambda lines, folder: trained(lines, folder, **PLAIN),
    "bpe": lambda lines, folder: trained(lines, folder, model_type="bpe"),
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_converted_vocabulary_has_the_same_ids_and_texts(name, lines, tmp_path):
    ours = VOCABULARIES[name](lines, tmp_path)
    write_tokenizer(ours, tmp_path, ENDED)
    theirs = TokenizerVocabulary(tmp_path)
    for role in ("vocab_size", "extra_ids", "pad_id", "eos_id", "unk_id"):
        assert getattr(theirs, role) == getattr(ours, role), role
    for text in [*lines, *HOSTILE]:
        ids = [int(i) for i in ours.encode(text)]
        assert theirs.encode(text) == ids, text
        if ours.unk_id not in ids:  # which SentencePiece writes as ⁇
            assert theirs.decode(ids) == ours.decode(ids), text


def test_a_sentencepiece_model_goes_beside_its_tokenizer_json(lines, tmp_path):
    ours = trained(lines, tmp_path)
    write_tokenizer(ours, tmp_path, ENDED)
    again = vocabulary.sentencepiece_vocabulary(str(tmp_path / "tokenizer.model"), extra_ids=0)
    assert again.vocab_size == ours.vocab_size
    assert [*again.encode(lines[0])] == [*ours.encode(lines[0])]


def test_templates_put_the_tokens_around_a_text(tmp_path):
    ours = vocabulary.byte_vocabulary(extra_ids=100)
    for template, before, after in (
        (CAUSAL, [0], []),
        (ENDED, [], [1]),
        (BERT_LIKE, [special_tokens(ours).cls], [special_tokens(ours).sep]),
    ):
        write_tokenizer(ours, tmp_path, template)
        found = TokenizerVocabulary(tmp_path)
        assert found.tokenizer.encode("ab").ids == [*before, 100, 101, *after]
    assert special_tokens(found) == special_tokens(ours)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    folder = golden_folder.write("gpt2", tmp_path_factory.mktemp("letters") / "gpt2")
    return tokenizer_vocabulary(str(folder))


def test_a_tokenizer_json_keeps_its_ids(letters):
    assert letters.encode("ab[MASK]z") == [7, 8, 4, 32]
    assert letters.decode([7, 4, 8, 1, 9]) == "ab"
    assert (letters.pad_id, letters.eos_id, letters.unk_id, letters.bos_id) == (0, 1, 2, 3)
    assert special_tokens(letters) == (4, 5, 6)
    assert mask_token(letters) == 4
    assert list(random_tokens(letters)) == list(range(7, 33))
    assert list(is_text(letters)) == [False] * 7 + [True] * 26


def test_tensorflow_reads_as_python_does_and_its_position_is_saved(letters):
    texts = ["ab", "c é", ""]
    dataset = tf.data.Dataset.from_tensor_slices(texts).map(letters.encode_tf)
    iterator = iter(dataset)
    found = [next(iterator).numpy().tolist() for _ in texts]
    assert found == [letters.encode(text) for text in texts]
    tf.train.Checkpoint(iterator=iterator)  # a stateful function could not be saved
    ids = tf.constant([[7, 8, 1], [9, 10, 11]])
    assert [x.decode() for x in letters.decode_tf(ids).numpy()] == ["ab", "cde"]


def test_copies_are_the_same_vocabulary_and_its_contents_decide(letters, tmp_path):
    assert copy.deepcopy(letters) is letters
    assert pickle.loads(pickle.dumps(letters)) == letters
    other = golden_folder.write("gpt2", tmp_path / "gpt2")
    (other / "tokenizer_config.json").write_text('{"eos_token": "[SEP]"}')
    assert tokenizer_vocabulary(str(other)).eos_id == 6
    assert vocabulary.fingerprint(tokenizer_vocabulary(str(other))) != vocabulary.fingerprint(
        letters
    )


def test_word_pieces_are_trained_the_same_each_time_and_are_a_vocabulary(lines, tmp_path):
    options = TrainerOptions(
        vocab_size=500, model_type="wordpiece", normalization_rule_name="nmt_nfkc_cf"
    )
    files, size = made("m", lines, options)
    assert (files, size) == made("m", lines, options)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = vocabulary.by_name(str(tmp_path))
    assert found.vocab_size == size == 500
    assert found.decode(found.encode("The Best of times")) == "the best of times"
    assert special_tokens(found) == (4, 2, 3)
    ids = found.encode("times")
    assert [found.begins_word(i) for i in ids] == [True, *[False] * (len(ids) - 1)]


def test_an_option_without_a_meaning_for_word_pieces_is_refused():
    with pytest.raises(UserError, match="split_digits=True means nothing"):
        made("m", ["a"], TrainerOptions(vocab_size=9, model_type="wordpiece", split_digits=True))


def test_a_vocabulary_without_a_form_is_named(tmp_path):
    with pytest.raises(UserError, match="has no form as"):
        write_tokenizer(np, tmp_path, ENDED)
