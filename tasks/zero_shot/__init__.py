"""The suites of zero-shot evaluation, by name; their data are below `LM_DATA_DIR`.

    winograd                wsc273, pdp60, winogrande, by full and by partial scores
    commonsense             the same, and copa, piqa, openbookqa, arc_easy, commonsense_qa
    superglue               bool_q, cb, copa, multirc, record, rte, wic, as far as available
    lambada                 the last word of a passage
    wikitext                perplexity of whole articles, in windows
    symbol_<setting>        unseen data sets with arbitrary labels (`tasks.symbol_tuning`)
    list_functions, turing_concepts     functions learned from examples in the prompt
    flan_<cluster>          the data sets of a cluster, in all templates (`tasks.flan`)
    flan_<cluster>_noopt    the same without a list of the possible answers

Of WiC, MultiRC, ReCoRD and the customer reviews all examples are asked, which are also in `train`
of `tasks.flan`: a run tuned on instructions is to be trained on a mixture without their clusters.
`<suite>_available` leaves out the sets whose data are not on this machine. Importing this package
reads and registers nothing.
"""

import importlib
from collections.abc import Mapping, Sequence
from functools import partial

from lm.data.evaluation.questions import QuestionSet, Sets
from tasks.flan.clusters import LOCAL
from tasks.symbol_tuning.tables import SETTINGS


def _sets(module: str, function: str, *arguments: str) -> Sequence[QuestionSet]:
    """Returns the sets of a suite after importing the module that makes them."""
    made = getattr(importlib.import_module(f"tasks.zero_shot.{module}"), function)
    return made(*arguments)


_ALONE = ("winograd", "commonsense", "superglue", "lambada", "wikitext")
_ALGORITHMS = ("list_functions", "turing_concepts")

SUITES: Mapping[str, Sets] = (
    {name: partial(_sets, "suites", name) for name in _ALONE}
    | {name: partial(_sets, "instructed", "algorithm", name) for name in _ALGORITHMS}
    | {f"symbol_{name}": partial(_sets, "instructed", "symbols", name) for name in SETTINGS}
    | {
        f"flan_{name}{end}": partial(_sets, "instructed", "cluster", name, wording)
        for name in LOCAL
        for end, wording in (("", "opt"), ("_noopt", "noopt"))
    }
)
