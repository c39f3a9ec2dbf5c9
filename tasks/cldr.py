"""cldr_en_<lang>, cldr_<lang>_en: translation of phrases with dates, amounts, measures and names.

What: short English phrases and the same in German, Spanish, French, Japanese and Russian: dates,
times, intervals, durations, numbers with units, money, lists, and the names of territories,
languages, currencies and scripts (`tasks.support.cldr`).
Source: generated from the Unicode CLDR data that the library Babel carries; no download. Another
language of CLDR is one more entry in `LANGUAGES`.
Licence: Unicode License v3.
Splits: by content hash of the English side, the same for all languages; no phrase of either
language is in two pairs. Pairs with Babel 2.18.0:

    language   train    validation   test
    de         42,821   2,368        2,363
    es         41,930   2,307        2,310
    fr         42,835   2,366        2,364
    ja         42,250   2,335        2,330
    ru         41,999   2,313        2,311

Metrics: BLEU (Japanese by words with `sacrebleu[ja]`, else by characters), chrF, exact match.
Example (cldr_en_de):

    inputs   Sunday, February 19, 2040
    targets  Sonntag, 19. Februar 2040
"""

import functools
from collections.abc import Iterator

import babel

from lm.data.evaluation import metrics
from lm.data.storage import sources
from lm.data.storage.record_cache import CachedSource
from tasks.support import cldr
from tasks.support.translation import add_translation

LANGUAGES = ("de", "es", "fr", "ja", "ru")
SPLITS = {"train": (0.0, 0.9), "validation": (0.9, 0.95), "test": (0.95, 1.0)}


def examples(language: str, split: str) -> Iterator[dict[str, str]]:
    """The pairs of a split, in the order in which they are generated."""
    low, high = SPLITS[split]
    for english, foreign in _pairs(language):
        if low <= sources.share(english) < high:
            yield {"en": english, language: foreign}


@functools.lru_cache(maxsize=1)  # the splits of a language are asked for one after the other
def _pairs(language: str) -> tuple[tuple[str, str], ...]:
    return tuple(cldr.pairs(language))


def source(language: str) -> CachedSource:
    """The pairs of English and a language."""
    return sources.examples_source(
        f"cldr_en_{language}",
        {split: functools.partial(examples, language, split) for split in SPLITS},
        fingerprint=lambda: {"babel": babel.__version__, "rules": cldr.RULES},
    )


for _language in LANGUAGES:
    _source = source(_language)
    for _inputs, _targets in (("en", _language), (_language, "en")):
        add_translation(
            f"cldr_{_inputs}_{_targets}",
            _source,
            keys={"inputs": _inputs, "targets": _targets},
            more_metrics=(metrics.exact_match,),
        )
