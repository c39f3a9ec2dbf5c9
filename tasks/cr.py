"""cr: sentences of customer reviews, positive or negative.

What: reviews of cameras, players and other goods.
Source: `cr/data.tsv[.gz]` below `LM_DATA_DIR`, from github harvardnlp/sent-conv-torch.
Licence: none stated (Hu and Liu 2004); treat as research use.
Splits: by hash of the text, eight tenths train, one validation, one test; 3,771 in all.

Metrics: accuracy. `cr_text` is text to text. Example:

    inputs   [CLS] it practically plays almost everything you give it . [SEP]
    label    1 (positive)
"""

from tasks.support.classification import add_sentences
from tasks.support.local_data import DataSet

DATA_SET = DataSet("cr", origin="github.com/harvardnlp/sent-conv-torch")

add_sentences("cr", {"all": DATA_SET.file("data.tsv*")})
