"""Registers the task or mixture of a name with SeqIO, see `tasks.symbol_tuning` for the names."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import seqio

from lm.data.evaluation import metrics
from lm.data.evaluation.rank_classification import choice, rank_accuracy
from lm.data.storage import files, fingerprints, sources
from lm.data.storage.record_cache import CachedSource
from lm.data.vocabulary import byte_vocabulary
from tasks.flan.data_set import data_sets
from tasks.flan.register import MAXIMUM_RATE, rate
from tasks.symbol_tuning import algorithms
from tasks.symbol_tuning.examples import evaluation_source, training_source
from tasks.symbol_tuning.row_fit import fitted
from tasks.symbol_tuning.tables import (
    ALGORITHMS,
    INSTRUCTIONS,
    PREFIX,
    RANK,
    SETTINGS,
    TRAIN,
    mixtures,
)

MADE = "made_"


def register(name: str) -> None:
    """Registers a name; does nothing if it does not belong to this family."""
    short = name.removeprefix(PREFIX)
    if name in seqio.TaskRegistry.names():
        return
    if short in mixtures():
        _add_mixture(name, mixtures()[short])
    elif short in TRAIN:
        _add_task(name, training_source(data_sets()[short]))
    elif short.removeprefix(MADE) in ALGORITHMS:
        _add_task(name, _algorithmic_source(short))
    else:
        _add_evaluation(name, short)


def _add_evaluation(name: str, short: str) -> None:
    data_set, _, setting = short.removesuffix(RANK).rpartition("_")
    if data_set in INSTRUCTIONS and setting in SETTINGS:
        ranks = short.endswith(RANK)
        source = evaluation_source(data_sets()[data_set], setting, rank=ranks)
        _add_task(name, source, ranks=ranks)


def _add_task(name: str, source: seqio.DataSource, *, ranks: bool = False) -> None:
    feature = seqio.Feature(byte_vocabulary())
    seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[
            seqio.CacheDatasetPlaceholder(),  # what follows depends on the row's length
            fitted,
            seqio.preprocessors.tokenize,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={"inputs": feature, "targets": feature},
        postprocess_fn=choice if ranks else stripped,
        metric_fns=[rank_accuracy if ranks else metrics.exact_match],
    )


def _add_mixture(name: str, members: tuple[str, ...]) -> None:
    for member in members:
        register(PREFIX + member)
    rates = partial(rate, maximum=MAXIMUM_RATE)
    seqio.MixtureRegistry.add(name, [(PREFIX + member, rates) for member in members])


def _algorithmic_source(short: str) -> CachedSource:
    name = short.removeprefix(MADE)
    is_made = short.startswith(MADE)
    examples = partial(algorithms.made if is_made else algorithms.held, name)

    def fingerprint() -> Mapping[str, Any]:
        paths = [] if is_made else [algorithms.FILES[name]()]
        return {"code": fingerprints.describe(algorithms.made), "files": files.fingerprint(paths)}

    def require(split: str) -> None:
        del split
        if not is_made:
            algorithms.FILES[name]()

    return sources.examples_source(
        f"symbol_tuning_{short}", {"test": examples}, fingerprint=fingerprint, require=require
    )


def stripped(output: str, **_: Any) -> str:
    """Postprocesses a text: without spaces around it."""
    return output.strip()
