"""multi30k_<src><tgt>: image captions between English, German and French, in all six directions.

What: one-sentence descriptions of photographs (Multi30k task 1, raw text).
Source: `multi30k/*.txt[.gz]` below `LM_DATA_DIR`, from github multi30k/dataset.
Licence: none stated; treat as non-commercial research use (the captions derive from Flickr30K).
Splits, for every direction: train 29,000, validation 1,014, test 1,000 (test_2016_flickr).

`multi30k_<src><tgt>_prefix` is the same with T5's prefix `translate English to German: `, and the
mixture `multi30k_all` contains all six of them at equal rates.

Metrics: BLEU (sacrebleu 13a, cased), chrF. Example (multi30k_ende):

    inputs   Two young, White males are outside near many bushes.
    targets  Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.
"""

from itertools import permutations

import seqio

from lm.data.storage import sources
from tasks.support.local_data import DataSet
from tasks.support.translation import add_translation

DATA_SET = DataSet("multi30k", origin="github.com/multi30k/dataset")

LANGUAGES = {"en": "English", "de": "German", "fr": "French"}
FILES = {
    "train": "train.{}.txt.gz",
    "validation": "val.{}.txt",
    "test": "test_2016_flickr.{}.txt",
}
DIRECTIONS = tuple(permutations(LANGUAGES, 2))

SOURCE = sources.parallel_source(
    {
        split: {code: DATA_SET.file(name.format(code)) for code in LANGUAGES}
        for split, name in FILES.items()
    }
)

for _inputs, _targets in DIRECTIONS:
    _keys = {"inputs": _inputs, "targets": _targets}
    _prefix = f"translate {LANGUAGES[_inputs]} to {LANGUAGES[_targets]}: "
    add_translation(f"multi30k_{_inputs}{_targets}", SOURCE, keys=_keys)
    add_translation(f"multi30k_{_inputs}{_targets}_prefix", SOURCE, keys=_keys, prefix=_prefix)

seqio.MixtureRegistry.add(
    "multi30k_all",
    [f"multi30k_{inputs}{targets}_prefix" for inputs, targets in DIRECTIONS],
    default_rate=1.0,
)
