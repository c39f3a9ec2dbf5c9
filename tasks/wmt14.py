"""wmt14_ende, wmt14_deen, wmt14_enfr, wmt14_fren: news translation of WMT 2014.

What: sentence pairs of Europarl, Common Crawl, News Commentary and others; the test set is
newstest2014, the validation set newstest2013.
Source: TFDS `wmt14_translate/de-en:1.0.0` and `wmt14_translate/fr-en:1.0.0`; `tfds build` with that
name downloads one.
Licence: free for research; each corpus has its own terms, see https://www.statmt.org/wmt14/.
Splits: train, validation 3,000, test 3,003.

Metrics: BLEU (sacrebleu 13a, cased), chrF.
"""

import seqio

from tasks.support.text import STREAMED
from tasks.support.translation import add_translation

SPLITS = ["train", "validation", "test"]

for _other in ("de", "fr"):
    _source = seqio.TfdsDataSource(f"wmt14_translate/{_other}-en:1.0.0", splits=SPLITS)
    for _inputs, _targets in (("en", _other), (_other, "en")):
        add_translation(
            f"wmt14_{_inputs}{_targets}",
            _source,
            keys={"inputs": _inputs, "targets": _targets},
            steps=STREAMED,
        )
