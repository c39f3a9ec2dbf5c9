"""Vocabularies: what they promise of their ids, and that no model file can end the process."""

import copy
import hashlib
import pickle
import random
import warnings

import pytest
import seqio
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lm.data import vocabulary
from lm.data.tokenizer_options import TrainerOptions
from lm.data.tokenizer_training import fit
from lm.errors import UserError

SENTENCES = [f"the {word} house number {i}" for i in range(60) for word in ("red", "old", "große")]
LOSSLESS = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}


@pytest.fixture(scope="module")
def model_bytes():
    return fit(SENTENCES, TrainerOptions(vocab_size=300, model_type="bpe", **LOSSLESS))


@pytest.fixture
def model(tmp_path, model_bytes):
    path = tmp_path / "m.model"
    path.write_bytes(model_bytes)
    return path


@pytest.fixture(scope="module")
def lossless(tmp_path_factory, model_bytes):
    path = tmp_path_factory.mktemp("tokenizer") / "m.model"
    path.write_bytes(model_bytes)
    return vocabulary.sentencepiece_vocabulary(str(path))


def test_special_ids_and_sentinels(lossless):
    assert (lossless.pad_id, lossless.eos_id, lossless.unk_id) == (0, 1, 2)
    assert lossless.vocab_size == 300 + 100
    assert lossless.encode("<extra_id_0>")[-1] == lossless.vocab_size - 1
    assert lossless.encode("<extra_id_99>")[-1] == 300


def test_the_shipped_tokenizer_opens_by_name_and_reads_code_back():
    shipped = vocabulary.by_name("python_docs_4k")
    text = "def f(x):\n    return x  # größer\n\n\tend "
    assert shipped.vocab_size == 4096
    assert shipped.decode(shipped.encode(text)) == text
    assert "python_docs_4k" in vocabulary.tokenizer_names()


# U+2581 is SentencePiece's own sign for a space; NUL and single surrogates are no text.
TEXT = st.text(st.characters(exclude_characters="\u2581\0", exclude_categories=["Cs"]))


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_byte_fallback_spells_any_text(lossless, text):
    ids = lossless.encode(text)
    assert lossless.unk_id not in ids
    assert lossless.decode(ids) == text


@settings(max_examples=40, deadline=None)
@given(TEXT)
def test_python_and_tensorflow_read_alike(lossless, text):
    assert lossless.encode_tf(tf.constant(text)).numpy().tolist() == lossless.encode(text)
    characters = vocabulary.character_vocabulary("cab\u4e2d\U0001f600 ")
    assert characters.encode_tf(tf.constant(text)).numpy().tolist() == characters.encode(text)


def test_character_vocabulary_writes_and_reads_back():
    characters = vocabulary.character_vocabulary("zaé")
    assert characters.encode("éza?") == [5, 3, 4, 2]
    assert characters.decode([5, 3, 4]) == "éza"
    written = characters.decode_tf(tf.constant([[5, 3, 1, 4], [2, 4, 0, 0]])).numpy()
    assert [text.decode() for text in written] == ["éz", "\ufffda"]
    assert characters.vocab_size == 6
    assert pickle.loads(pickle.dumps(characters)) == copy.deepcopy(characters) == characters


@pytest.mark.parametrize("characters", ["", "aba"])
def test_character_vocabulary_refuses(characters):
    with pytest.raises(UserError, match="exactly once"):
        vocabulary.character_vocabulary(characters)


def test_character_lookup_leaves_the_iterator_savable(tmp_path):
    characters = vocabulary.character_vocabulary("ab")
    dataset = tf.data.Dataset.from_tensor_slices(["ab", "ba", "c"]).map(characters.encode_tf)
    iterator = iter(dataset)
    next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "position"))
    fresh = iter(dataset)
    tf.train.Checkpoint(iterator=fresh).read(saved)
    assert next(fresh).numpy().tolist() == [4, 3]


def test_decode_refuses_ids_outside(lossless):
    for unknown in (-1, lossless.vocab_size, 2**31):
        with pytest.raises(UserError, match=rf"id {unknown} is outside .*\(0\.\.399\)"):
            vocabulary.decode(lossless, [5, unknown])
    assert vocabulary.decode(lossless, [*lossless.encode("old"), 1, 7]) == "old"


def test_fingerprints_tell_vocabularies_apart(model, lossless):
    same = vocabulary.sentencepiece_vocabulary(str(model))
    others = [
        vocabulary.sentencepiece_vocabulary(str(model), extra_ids=0),
        vocabulary.byte_vocabulary(),
        vocabulary.byte_vocabulary(extra_ids=1),
        vocabulary.character_vocabulary("ab"),
        vocabulary.character_vocabulary("ba"),
        seqio.PassThroughVocabulary(5),
    ]
    assert vocabulary.fingerprint(same) == vocabulary.fingerprint(lossless)
    assert len({vocabulary.fingerprint(v) for v in [lossless, *others]}) == 7


def refused(path):
    """The message with which a model is refused, or nothing if it opens."""
    try:
        found = vocabulary.sentencepiece_vocabulary(str(path))
        found.decode(found.encode("a hostile text \u00fc"))
        found.encode_tf(tf.constant("a hostile text"))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("data", [b"", b"no model", b"\0" * 1000, b"\xff" * 1000, b"\n\x05\n\x01a"])
def test_what_is_no_model_is_one_line(tmp_path, data):
    path = tmp_path / "bad.model"
    path.write_bytes(data)
    message = refused(path)
    assert message.startswith(f"{path} is no usable SentencePiece model: ")
    assert "\n" not in message


def test_truncated_models_are_refused(tmp_path, model_bytes):
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"cut{share}.model"
        path.write_bytes(model_bytes[: int(share * len(model_bytes))])
        assert refused(path)


def test_mutated_models_never_crash(tmp_path, model_bytes):
    draw = random.Random(7)
    messages = []
    for case in range(120):
        data = bytearray(model_bytes)
        for _ in range(draw.choice([1, 4, 32])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path = tmp_path / f"{case}.model"  # SeqIO keeps what it loaded by path
        path.write_bytes(data)
        messages.append(refused(path))
    assert any(messages)
    assert all("\n" not in message for message in messages)


@pytest.mark.parametrize("kind", ["folder", "missing", "two models"])
def test_what_names_no_model_is_one_line(tmp_path, kind):
    for name in {"two models": ("a", "b")}.get(kind, ()):
        (tmp_path / f"{name}.model").write_bytes(b"x")
    wanted = str(tmp_path) if kind != "missing" else "no_such_tokenizer"
    with pytest.raises(UserError, match="python_docs_4k"):
        vocabulary.sentencepiece_vocabulary(wanted)


def test_a_changed_model_is_refused(model):
    stated = hashlib.sha256(b"another file").hexdigest()
    (model.parent / "SHA256SUMS").write_text(f"{stated}  {model.name}\n")
    with pytest.raises(UserError, match="SHA256SUMS says"):
        vocabulary.sentencepiece_vocabulary(str(model))


def test_other_special_ids_are_refused(tmp_path):
    import io

    import sentencepiece

    written = io.BytesIO()
    with warnings.catch_warnings():
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(SENTENCES), model_writer=written, vocab_size=30, minloglevel=2
        )
    path = tmp_path / "llama_like.model"
    path.write_bytes(written.getvalue())
    with pytest.raises(UserError, match="pad_id=-1, eos_id=2, unk_id=0, needed are pad_id=0"):
        vocabulary.sentencepiece_vocabulary(str(path))
