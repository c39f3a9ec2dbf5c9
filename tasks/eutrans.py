"""eutrans_es_en, eutrans_en_es: tourist phrases between Spanish and English.

What: sentences from a hotel desk with a small vocabulary (EuTrans-I), tokenized, half synthetic;
a translation model learns them within a minute.
Source: `eutrans_es_en/*.txt` below `LM_DATA_DIR`, from github lvapeab/nmt-keras.
Licence: the repository is MIT; the corpus states none.
Splits: train 9,900, validation 100, test 2,996. Sentences are repeated, also across splits.

Metrics: BLEU, chrF. Example (eutrans_es_en):

    inputs   lléveme el equipaje al coche .
    targets  send my luggage to the car .
"""

from lm.data.storage import sources
from tasks.support.local_data import DataSet
from tasks.support.translation import add_translation

DATA_SET = DataSet("eutrans_es_en", origin="github.com/lvapeab/nmt-keras")

LANGUAGES = ("es", "en")
FILES = {"train": "train", "validation": "dev", "test": "test"}

SOURCE = sources.parallel_source(
    {
        split: {code: DATA_SET.file(f"{name}.{code}.txt") for code in LANGUAGES}
        for split, name in FILES.items()
    }
)

add_translation("eutrans_es_en", SOURCE, keys={"inputs": "es", "targets": "en"})
add_translation("eutrans_en_es", SOURCE, keys={"inputs": "en", "targets": "es"})
