"""Training tokenizers: deterministic, honest about what is left out, rebuilt by the recipe."""

import platform
from pathlib import Path

import pytest
import sentencepiece

import lm.config.parse
from lm import resources
from lm.data import tokenizer_corpus, tokenizer_training
from lm.data.tokenizer_corpus import Counts, MemoryWatch, TextFiles, select, usable
from lm.data.tokenizer_options import MODEL_TYPES, WORDPIECE, TrainerOptions
from lm.errors import UserError

TEXT = "".join(f"a small house of {i} rooms, not the largest\n" for i in range(200))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return TextFiles(input=str(path))


def options(**changes):
    return TrainerOptions(**({"vocab_size": 310, "hard_vocab_limit": False} | changes))


def train(corpus, tmp_path, name="t", **changes):
    return tokenizer_training.train(
        name=name, corpus=corpus, options=options(**changes), output_dir=str(tmp_path / "out")
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("model_type", [kind for kind in MODEL_TYPES if kind != WORDPIECE])
def test_every_kind_trains_and_trains_the_same_again(corpus, tmp_path, model_type):
    made = train(corpus, tmp_path, model_type=model_type)
    first = contents(made.folder)
    assert set(first) == {"recipe.gin", "t.model", "t.vocab", "SHA256SUMS"}
    assert first["t.vocab"].decode().splitlines()[:3] == ["<pad>\t0", "</s>\t0", "<unk>\t0"]
    assert first["t.vocab"].count(b"\n") == made.pieces
    assert contents(train(corpus, tmp_path, model_type=model_type).folder) == first


def test_vocab_equals_sentencepiece_own(corpus, tmp_path):
    made = train(corpus, tmp_path, model_type="unigram", vocab_size=300)
    sentencepiece.SentencePieceTrainer.Train(
        input=corpus.input,
        model_prefix=str(tmp_path / "own"),
        minloglevel=2,
        **options(vocab_size=300).for_sentencepiece(),
    )
    own = (tmp_path / "own.vocab").read_bytes()
    assert (made.folder / "t.vocab").read_bytes() == own


def test_the_recipe_rebuilds_the_same_bytes(corpus, tmp_path):
    made = train(corpus, tmp_path, input_sentence_size=50, user_defined_symbols=("<a'b>",))
    config = lm.config.parse.load(
        [str(made.folder / "recipe.gin")], roots=["lm.data.tokenizer_training.train"]
    )
    build = config.configured("lm.data.tokenizer_training.train")
    again = build(output_dir=str(tmp_path / "again"))
    assert contents(again.folder) == contents(made.folder)
    assert again.counts == {"seen": 200, "used": 50}


def test_another_text_than_the_recipe_s_is_told(corpus, tmp_path):
    with pytest.warns(UserWarning, match="made with text sha256 0000"):
        tokenizer_training.train(
            name="t",
            corpus=corpus,
            options=options(),
            output_dir=str(tmp_path),
            built_with={"text sha256": "0" * 64},
        )


def test_a_sample_depends_on_the_seed_and_keeps_the_order():
    texts = [f"{i:04}" for i in range(1000)]
    draws = [
        select(texts, options(input_sentence_size=100, random_seed=seed), Counts())
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] == sorted(draws[0]) and len(set(draws[0])) == 100
    assert 350 < sum(map(int, draws[0])) / 100 < 650
    first = options(input_sentence_size=3, shuffle_input_sentence=False)
    assert select(texts, first, Counts()) == texts[:3]


def test_a_feature_that_no_example_has_is_refused():
    corpus = tokenizer_corpus.TaskText(mixture_or_task_name="tiny", features=("words",))
    with pytest.raises(UserError, match="'words' before its preprocessors, but text, more"):
        list(corpus._texts({"text": b"a", "more": b"b", "number": 1}))


def test_what_sentencepiece_would_drop_is_counted_and_told(tmp_path):
    path = tmp_path / "mixed.txt"
    path.write_text(TEXT + "x" * 5000 + "\n\nblock \u2585\n" + "last\n")
    with pytest.warns(UserWarning) as told:
        made = train(TextFiles(input=str(path)), tmp_path)
    assert made.counts == {"too_long": 1, "reserved": 1, "seen": 201, "used": 201}
    assert sorted(str(w.message).split(":")[0] for w in told) == ["1 sentences left out"] * 2


def test_memory_is_watched_before_it_is_full(monkeypatch):
    monkeypatch.setattr(tokenizer_corpus, "available_memory", lambda: 25.0 * 4096 * 10)
    monkeypatch.setattr(tokenizer_corpus, "_CHECK_EVERY", 1024)
    watch = MemoryWatch("unigram")
    with pytest.warns(UserWarning, match="set input_sentence_size=2048") as told:
        for _ in range(9000):
            watch.add("ten bytes.")
    assert len(told) == 1


def test_available_memory_is_a_size():
    assert 2**20 < tokenizer_corpus.available_memory() < 2**50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 9000, "hard_vocab_limit": True}, "Vocabulary size too high"),
        ({"vocab_size": 10, "hard_vocab_limit": True}, "Vocabulary size is smaller"),
        ({"model_type": "letters"}, "must be one of unigram, bpe, char, word"),
        ({"normalization_rule_name": "mine"}, "mine"),
        ({"name": "../up"}, "letters, digits"),
    ],
)
def test_wrong_options_are_one_line(corpus, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as told:
        train(corpus, tmp_path, **changes)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("out/*"))


def test_an_empty_text_is_one_line(tmp_path):
    assert list(usable(["", "\n \n"], 10, Counts())) == []
    with pytest.raises(UserError, match="no sentence to train"):
        tokenizer_training.fit([], options())


@pytest.mark.slow
@pytest.mark.skipif(
    (platform.python_version(), sentencepiece.__version__) != ("3.11.7", "0.2.3"),
    reason="the recipe names Python 3.11.7 and SentencePiece 0.2.3; other versions have other text",
)
def test_the_shipped_tokenizer_is_rebuilt_byte_for_byte(tmp_path):
    shipped = Path(resources.tokenizers_folder(), "python_docs_4k")
    config = lm.config.parse.load(
        [str(shipped / "recipe.gin")], roots=["lm.data.tokenizer_training.train"]
    )
    made = config.configured("lm.data.tokenizer_training.train")(output_dir=str(tmp_path))
    assert contents(made.folder) == contents(shipped)
