"""dbpedia14k: first sentences of encyclopedia articles, fourteen kinds of things.

What: a balanced sample of the DBpedia ontology set, 1,000 texts of each label, without titles.
Source: `dbpedia14k/*.tsv[.gz]` below `LM_DATA_DIR`, from github KEAML-JLU/DeepTextClustering.
Licence: CC BY-SA 3.0 and GFDL.
Splits: train 12,590, of which a tenth is the split validation, test 1,410.

Metrics: accuracy. `dbpedia14k_text` is text to text. Example:

    inputs   [CLS] The Magni M-18 Spartan is an Italian autogyro that was designed … [SEP]
    label    5 (means of transportation)
"""

from tasks.support.classification import add_table, held_out, numbered
from tasks.support.local_data import DataSet

DATA_SET = DataSet("dbpedia14k", origin="github.com/KEAML-JLU/DeepTextClustering")

LABELS = numbered(
    "company",
    "educational institution",
    "artist",
    "athlete",
    "office holder",
    "means of transportation",
    "building",
    "natural place",
    "village",
    "animal",
    "plant",
    "album",
    "film",
    "written work",
)

add_table(
    "dbpedia14k",
    {split: DATA_SET.file(f"{split}.tsv*") for split in ("train", "test")},
    texts={"content": "text"},
    answer=LABELS,
    splits=held_out,
)
