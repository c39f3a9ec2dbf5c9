"""The translation pairs from CLDR: determinism, duplicates, splits, what they look like."""

import hashlib
import random

import babel
import pytest

pytest.importorskip("seqio")
import seqio
from babel import Locale

from tasks import cldr
from tasks.support import cldr as phrases

# Pairs of each split and a hash of all, by release of Babel and language.
COUNTS = {"2.18.0": {"ja": ((42250, 2335, 2330), "4e03ef68eec0")}}


@pytest.fixture(scope="module")
def japanese() -> dict:
    return {split: list(cldr.examples("ja", split)) for split in cldr.SPLITS}


def test_counts(japanese):
    counts = tuple(len(found) for found in japanese.values())
    if babel.__version__ in COUNTS:
        digest = hashlib.sha256()
        for found in japanese.values():
            digest.update(repr(found).encode())
        expected, start = COUNTS[babel.__version__]["ja"]
        assert (counts, digest.hexdigest()[:12]) == (expected, start)
    assert sum(counts) > 30_000
    assert 0.04 < counts[1] / sum(counts) < 0.06


@pytest.mark.parametrize("side", ["en", "ja"])
def test_no_phrase_comes_twice_so_splits_are_disjoint(japanese, side):
    texts = [pair[side] for found in japanese.values() for pair in found]
    assert len(texts) == len(set(texts))


def test_texts_are_whole_and_plain(japanese):
    for pair in japanese["train"]:
        for text in pair.values():
            assert text and text == text.strip()
            assert not set(text) & {"\u00a0", "\u2009", "\u202f", "\n"}
            assert "duration-" not in text and "length-" not in text


@pytest.mark.parametrize("language", cldr.LANGUAGES)
def test_every_kind_of_phrase_can_be_said_in_every_language(language):
    chance = random.Random(0)
    kinds = [
        phrases.day,
        phrases.clock_time,
        phrases.moment,
        phrases.interval,
        phrases.distance_in_time,
        phrases.stretch,
        phrases.measure,
        phrases.amount,
        phrases.number,
        phrases.enumeration,
    ]
    for kind in kinds:
        said = 0
        for _ in range(20):
            try:
                said += bool(phrases.verbalized(kind(chance), Locale(language)))
            except KeyError:
                continue
        assert said >= 4, kind.__name__


def test_phrases_equal_what_cldr_says():
    german = Locale("de")
    assert phrases.verbalized(phrases.Measure(2.5, "length-mile"), german) == "2,5 Meilen"
    names = (phrases.Name("territories", "JP"), phrases.Name("languages", "fr"))
    assert phrases.verbalized(phrases.Listing(names, "or"), german) == "Japan oder Französisch"


def test_a_missing_pattern_is_no_pair(monkeypatch):
    monkeypatch.setattr(phrases.units, "format_unit", lambda value, unit, *_, locale: f"1 {unit}")
    with pytest.raises(KeyError):
        phrases.verbalized(phrases.Measure(0.5, "duration-day"), Locale("ja"))


def test_both_directions_are_registered_with_their_metrics():
    for name in ("cldr_en_ja", "cldr_ja_en"):
        task = seqio.TaskRegistry.get(name)
        bleu, *others = task.metric_fns
        assert bleu.keywords == {"language": name[-2:]}
        assert [metric.__name__ for metric in others] == ["chrf", "exact_match"]
