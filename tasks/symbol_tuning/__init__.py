"""symbol_tuning_<data set>: in-context classification with arbitrary labels (symbol tuning).

What: prompts of exemplars of a classification task, with arbitrary symbols as labels, and one
query; each prompt assigns the symbols anew. Importing this package registers nothing: a name is
registered when it is first requested. The data sets are those of `tasks.flan`.

    symbol_tuning_<data set>                 prompts for training: tuning symbols, no instruction
    symbol_tuning_train, symbol_tuning_local the paper's 22 sets; those of local files
    symbol_tuning_<data set>_both            evaluation: an instruction and the labels' own names,
    symbol_tuning_<data set>_labels          only the names,
    symbol_tuning_<data set>_instructions    an instruction and symbols of the evaluation pool,
    symbol_tuning_<data set>_neither         only these symbols
    symbol_tuning_<data set>_flipped         the swapped names of two classes
    symbol_tuning_evaluation_<setting>       the paper's 11 sets; local_evaluation_…: local files
    …_rank                                   one example for each label, for rank classification
    symbol_tuning_list_functions             BIG-bench material, for evaluation only
    symbol_tuning_turing_concepts            the same
    symbol_tuning_made_list_functions        functions and examples of our own
    symbol_tuning_made_turing_concepts       the same
    …_available                              a mixture's members that are on this machine

Source: as `tasks.flan`; the algorithmic tasks below `LM_DATA_DIR`, or made here.
Licence: that of each data set.
Splits: train (at most 25,000 prompts) for training, test (100 queries) for evaluation.

Metrics: exact match; accuracy by ranking. Example (symbol_tuning_sst2):

    inputs   Input: A dull , inert film .
             Output: NTP

             Input: A delight .
             Output: 802

             Input: It never takes off .
             Output:
    targets  NTP

Source of the method: Wei et al. 2023 (https://arxiv.org/abs/2305.08298). Departures: the words are
made by rule; the formats are ours. A prompt with more tokens than the row of its inputs loses
exemplars, the longest first and one of every class together, never the query; with too many classes
for the row, some lose their only exemplar, never the query's class. Mix with instructions by
`lm.data.user_tasks.user.mixture`, see gin/papers/symbol_tuning.
"""

import importlib
from collections.abc import Iterable

from lm.data.registry import on_demand

TASKS = {
    "symbol_tuning_<data set>": "prompts with arbitrary symbols, for training",
    "symbol_tuning_<data set>_<both|labels|instructions|neither|flipped>[_rank]": "evaluation",
    "symbol_tuning_[made_]<list_functions|turing_concepts>": "functions learned in context",
}
MIXTURES = {
    "symbol_tuning_<train|local>": "the sets to tune on",
    "symbol_tuning_[local_]evaluation_<setting>[_rank]": "the sets to evaluate on",
}


def _register(name: str) -> None:
    importlib.import_module("tasks.symbol_tuning.register").register(name)


def _names() -> Iterable[str]:
    return importlib.import_module("tasks.symbol_tuning.tables").all_names()


on_demand.declare(on_demand.Family("symbol_tuning_", _register, _names, TASKS, MIXTURES))
