"""mr: sentences of film reviews, positive or negative.

What: the snippets rt-polarity of Pang and Lee.
Source: `mr/data.tsv[.gz]` below `LM_DATA_DIR`, from github harvardnlp/sent-conv-torch.
Licence: none stated (Pang and Lee 2005); treat as research use.
Splits: by hash of the text, eight tenths train, one validation, one test; 10,662 in all.
The sentences of sst are the same: never train on one and test on the other.

Metrics: accuracy. `mr_text` is text to text. Example:

    inputs   [CLS] the rock is destined to be the 21st century's new " conan " and … [SEP]
    label    1 (positive)
"""

from tasks.support.classification import add_sentences
from tasks.support.local_data import DataSet

DATA_SET = DataSet("mr", origin="github.com/harvardnlp/sent-conv-torch")

add_sentences("mr", {"all": DATA_SET.file("data.tsv*")})
