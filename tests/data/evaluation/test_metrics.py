"""Metric functions on their golden values."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from lm.data.evaluation import metrics
from lm.errors import UserError

SYSTEM = ["the cat is on the mat", "there is a dog"]
REFERENCE = ["the cat sat on the mat", "there is a small dog"]


def test_bleu_golden_with_signature():
    """sacreBLEU's figure, and how it was made; the number is still a number to JSON."""
    score = metrics.bleu(REFERENCE, SYSTEM)
    assert score["bleu"] == pytest.approx(35.4037, abs=1e-4)
    signature = score["bleu"].signature
    assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert json.loads(json.dumps(score))["bleu"] == score["bleu"]


def test_bleu_takes_references_per_example():
    """Also of different numbers: they are transposed to what sacreBLEU wants."""
    several = [[REFERENCE[0], SYSTEM[0]], [REFERENCE[1]]]
    assert metrics.bleu(several, SYSTEM)["bleu"] > metrics.bleu(REFERENCE, SYSTEM)["bleu"]
    perfect = [[REFERENCE[0], SYSTEM[0]], [REFERENCE[1], SYSTEM[1]]]
    assert metrics.bleu(perfect, SYSTEM)["bleu"] == pytest.approx(100)


def test_bleu_is_cased():
    """Upper case is another word."""
    shouted = [text.upper() for text in SYSTEM]
    assert metrics.bleu(REFERENCE, shouted)["bleu"] < 1


def test_chrf_golden():
    """chrF2."""
    assert metrics.chrf(REFERENCE, SYSTEM)["chrf"] == pytest.approx(56.32, abs=5e-3)


def test_rouge_golden_and_repeatable():
    """F1 with the stemmer, the same at every call."""
    target, guess = "the cat sat on the mat.\nit was happy.", "it was happy.\nthe cat sat on a mat."
    scores = metrics.rouge([target], [guess])
    expected = {"rouge1": 88.89, "rouge2": 62.5, "rougeL": 55.56, "rougeLsum": 88.89}
    assert scores == pytest.approx(expected, abs=5e-3)
    assert metrics.rouge([target] * 3, [guess] * 3) == pytest.approx(scores)


def test_exact_match_and_accuracy():
    """Case counts; several references count each."""
    assert metrics.exact_match(["a", ["b", "c"]], ["A", "c"]) == {"exact_match": 50.0}
    assert metrics.accuracy([1, 2], [1, 3]) == {"accuracy": 50.0}
    pairs = ([np.array([1, 2])], [np.array([1, 2, 3])])
    assert metrics.sequence_accuracy(*pairs) == {"sequence_accuracy": 0.0}


def test_edit_distance_golden():
    """One word of two differs."""
    scores = metrics.edit_distance(["a b", "kitten sits"], ["a c", "kitten, sits!"])
    assert scores == {
        "min_edit": 0, "max_edit": 1, "mean_edit": 0.5, "median_edit": 0.5, "sum_edit": 1
    }  # fmt: skip


def test_empty_corpus():
    """No example, no crash."""
    assert metrics.bleu([], []) == {"bleu": 0.0}
    assert metrics.rouge([], [])["rouge1"] == 0.0
    assert metrics.exact_match([], []) == {"exact_match": 0.0}


def test_likelihood_metrics():
    """1000 nats over known sizes; per word = per token to the power of tokens per word."""
    sizes = metrics.text_sizes(["zwölf Boxkämpfer", "jagen"])
    assert sizes == (23, 21, 3, 2)
    figures = metrics.likelihood_metrics(12.0, 6, sizes)
    assert figures["token_perplexity"] == pytest.approx(np.exp(2))
    assert figures["word_perplexity"] == pytest.approx(figures["token_perplexity"] ** 2)
    assert figures["bits_per_byte"] == pytest.approx(12 / 23 / np.log(2))
    assert metrics.likelihood_metrics(1e6, 1, sizes)["token_perplexity"] == np.inf


LINES = {
    "zh": (
        ["今天天气很好，我们去公园散步。", "他昨天买了三本书。"],
        ["今天天气很好，我们去公园跑步。", "他昨天买了两本书。"],
    ),
    "ja": (
        ["今日は天気がいいので公園を散歩します。", "彼は昨日本を三冊買いました。"],
        ["今日は天気がいいので公園で走ります。", "彼は昨日本を二冊買いました。"],
    ),
    "ko": (
        ["오늘은 날씨가 좋아서 공원을 산책합니다.", "그는 어제 책을 세 권 샀습니다."],
        ["오늘은 날씨가 좋아서 공원에서 달립니다.", "그는 어제 책을 두 권 샀습니다."],
    ),
    "en": (REFERENCE, SYSTEM),
}


@pytest.mark.parametrize("language", LINES)
def test_bleu_equals_the_command_line_of_sacrebleu(tmp_path, language):
    """The tokenizer follows the language, and the signature says which it was."""
    reference, system = LINES[language]
    score = metrics.bleu(reference, system, language=language)["bleu"]
    used = metrics.tokenizer_of(language)
    assert f"|tok:{used}" in score.signature
    (tmp_path / "ref").write_text("\n".join(reference) + "\n", encoding="utf-8")
    (tmp_path / "sys").write_text("\n".join(system) + "\n", encoding="utf-8")
    words = ["-m", "sacrebleu", "ref", "-i", "sys", "--tokenize", used, "--width", "6"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["score"] == pytest.approx(score, abs=1e-6)
    assert score > 30


def test_japanese_and_korean_fall_back_to_characters_and_say_so(monkeypatch, caplog):
    """Words where the analyser is installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert metrics.tokenizer_of("ja") == metrics.tokenizer_of("ko_KR") == "char"
    assert "pip install 'sacrebleu[ja]'" in caplog.text
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert metrics.tokenizer_of("ja-JP") == "ja-mecab"
    assert metrics.tokenizer_of("ko") == "ko-mecab"


def test_the_tokenizer_can_be_chosen():
    """An unknown one, or one that is not installed, is named."""
    reference, system = LINES["zh"]
    assert "|tok:char|" in metrics.bleu(reference, system, tokenize="char")["bleu"].signature
    with pytest.raises(UserError, match="tokenize = 'words': sacreBLEU has none, zh, 13a"):
        metrics.bleu(reference, system, tokenize="words")


@pytest.mark.skipif(importlib.util.find_spec("MeCab") is not None, reason="it is installed")
def test_a_tokenizer_that_is_not_installed_is_named():
    with pytest.raises(UserError, match=r"not installed: pip install 'sacrebleu\[ja\]'"):
        metrics.bleu(["a"], ["a"], tokenize="ja-mecab")


@pytest.mark.parametrize(("language", "counted"), [("zh", 0), ("ja", 0), ("ko", 1), ("en", 1)])
def test_words_are_counted_only_where_spaces_stand_between_them(language, counted):
    """Else one sentence would be one word, and its perplexity astronomical."""
    figures = metrics.likelihood_metrics(90.0, 30, metrics.text_sizes(LINES[language][0]))
    assert ("word_perplexity" in figures) == bool(counted)
    assert {"token_perplexity", "bits_per_byte", "bits_per_character"} <= figures.keys()


def test_what_counts_words_refuses_texts_without_any():
    chinese, russian = ["今天天气很好", "我喜欢猫"], ["хорошая погода", "мне нравятся кошки"]
    with pytest.raises(UserError, match="no spaces between theirs"):
        metrics.bleu(chinese, chinese)
    assert metrics.bleu(chinese, chinese, language="zh")["bleu"] == pytest.approx(100)
    assert metrics.bleu(chinese, chinese, tokenize="13a")["bleu"] >= 0  # asked for by name
    assert metrics.bleu(russian, russian)["bleu"] >= 0  # too short for four words in a row
    with pytest.raises(UserError, match="letters a to z"):
        metrics.rouge(russian, russian)
