"""flan_<data set>_<form>, flan_without_<cluster>_<form>: data sets as instructions (FLAN).

What: 62 data sets in 12 clusters, each with ten templates of our own (`sets/*.toml`), and mixtures
that leave one cluster out. Importing this package registers nothing: a name is registered when it
is first requested.

    flan_rte_zsopt                  zero-shot, with a list of the possible answers, OPTIONS:
    flan_rte_zsnoopt                zero-shot, without it
    flan_rte_fsopt, _fsnoopt        up to 16 exemplars before the question, 960 tokens in all; in
                                    shorter `inputs` the first exemplars are truncated
    flan_rte_fs3opt                 up to three exemplars (1, 2, 3, 5, 10)
    flan_rte_notemplate             only the fields (ablation)
    flan_rte_datasetname            the name of the data set before the fields (ablation)
    …_4templates                    the first four templates in turn, instead of ten
    …_template7                     only template 7
    …_rank                          one example for each possible answer, for rank classification

    flan_all_<form>                 all data sets of the paper; flan_cluster_<cluster>_<form>
    flan_without_<cluster>_<form>   those of the other clusters, except the ones too similar to it
    flan_3clusters_<form>           the first three clusters of the paper's ablation (1 to 7)
    flan_release_<…>_<form>         the same with the 17 clusters of the release
    flan_local_<…>_<form>           the same with local files, including other data sets
    …_available                     a mixture's members that are on this machine

Source: local files below `LM_DATA_DIR`, else TFDS; `sets/*.toml` names both.
Licence: that of each data set; the templates are part of this package.
Splits: train (at most 30,000 examples), validation (if cut from train, a tenth, at most 200, with
the examples on one passage together), test; only `test` for a set with evaluation data alone.

Metrics: accuracy of classes, of CB also macro F1, of MRPC, QQP and MultiRC F1, of STS-B Pearson's
and Spearman's correlation of rounded scores; exact match and F1 of answers; ROUGE, BLEU. Example
(flan_rte_zsopt):

    inputs   Text: No Weapons of Mass Destruction Found in Iraq Yet.
             Claim: Weapons of Mass Destruction Found in Iraq.
             Does the claim follow from the text?

             OPTIONS:
             - yes
             - no
    targets  no

Source of the method: Wei et al. 2022 (https://arxiv.org/abs/2109.01652). Departures: the wording;
blank lines, not turn numbers, separate exemplars; templates are assigned in the order of a hash of
the examples, independent of the order of a file; no example is dropped for batches of T; the query
is never an exemplar; fields of more than 3,000 characters are truncated, and where a prompt does
not fit into `inputs`, its longest field is, so that question and OPTIONS remain; of MultiRC no
exact match of whole questions, whose answers are asked in different templates.
"""

import importlib
from collections.abc import Iterable

from lm.data.registry import on_demand

TASKS = {
    "flan_<data set>_<zsopt|zsnoopt|fsopt|fsnoopt>[_<T>templates]": "data sets as instructions",
    "flan_<data set>_<form>_template<0-9>[_rank]": "one template of a data set, for evaluation",
    "flan_<data set>_<notemplate|datasetname>": "fields without an instruction (ablations)",
}
MIXTURES = {
    "flan_[release_|local_]without_<cluster>_<form>": "all clusters but one",
    "flan_[release_|local_]cluster_<cluster>_<form>": "the data sets of a cluster",
    "flan_[release_|local_]all_<form>": "all data sets",
    "flan_<1-7>clusters_<form>": "the first clusters of the ablation",
}


def _register(name: str) -> None:
    importlib.import_module("tasks.flan.register").register(name)


def _names() -> Iterable[str]:
    return importlib.import_module("tasks.flan.names").all_names()


def _templates() -> Iterable[on_demand.Row]:
    return importlib.import_module("tasks.flan.data_set").template_rows()


on_demand.declare(
    on_demand.Family(
        prefix="flan_",
        register=_register,
        names=_names,
        tasks=TASKS,
        mixtures=MIXTURES,
        templates=_templates,
    )
)
