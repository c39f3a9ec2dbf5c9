"""trec, trec_fine: the type of answer that a question asks for, 6 labels or 50.

What: the question types of TREC.
Source: `trec/*.tsv` below `LM_DATA_DIR`, from github harvardnlp/sent-conv-torch.
Licence: free for research (Li and Roth 2002).
Splits: train 5,452, of which a tenth is the split validation, test 500.

Metrics: accuracy. `trec_text`, `trec_fine_text` are text to text. Example (trec):

    inputs   [CLS] How far is it from Denver to Aspen ? [SEP]
    label    5 (number)
"""

from lm.data.registry.answers import LabelVocabulary
from tasks.support.classification import add_table, held_out, named
from tasks.support.local_data import DataSet

DATA_SET = DataSet("trec", origin="github.com/harvardnlp/sent-conv-torch")

FILES = {split: DATA_SET.file(f"{split}.tsv") for split in ("train", "test")}
COARSE = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human",
    "LOC": "location",
    "NUM": "number",
}
FINE = """
ABBR:abb ABBR:exp DESC:def DESC:desc DESC:manner DESC:reason ENTY:animal ENTY:body ENTY:color
ENTY:cremat ENTY:currency ENTY:dismed ENTY:event ENTY:food ENTY:instru ENTY:lang ENTY:letter
ENTY:other ENTY:plant ENTY:product ENTY:religion ENTY:sport ENTY:substance ENTY:symbol
ENTY:techmeth ENTY:termeq ENTY:veh ENTY:word HUM:desc HUM:gr HUM:ind HUM:title LOC:city
LOC:country LOC:mount LOC:other LOC:state NUM:code NUM:count NUM:date NUM:dist NUM:money NUM:ord
NUM:other NUM:perc NUM:period NUM:speed NUM:temp NUM:volsize NUM:weight
""".split()

add_table(
    "trec", FILES, texts={"question": "text"}, answer=LabelVocabulary(COARSE), splits=held_out
)
add_table(
    "trec_fine",
    FILES,
    texts={"question": "text"},
    answer=named(*FINE),
    column="fine_label",
    splits=held_out,
)
