"""Tasks of translation pairs, scored by BLEU and chrF.

They are registered with bytes; a run chooses another vocabulary with the macro VOCABULARY, see
`lm.data.registry.task_registry.with_vocabulary`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import seqio

from lm.data.evaluation import metrics
from lm.data.vocabulary import byte_vocabulary
from tasks.support.text import KEPT, Steps

MetricFunction = Callable[..., Mapping[str, float]]


def add_translation(
    name: str,
    source: seqio.DataSource,
    *,
    keys: Mapping[str, str],
    prefix: str = "",
    more_metrics: Sequence[MetricFunction] = (),
    steps: Steps = KEPT,
) -> seqio.Task:
    """Registers a task from `inputs` to `targets`, scored by BLEU and chrF.

    BLEU uses the tokenizer of the target language.

    Args:
        name: the task's name.
        source: examples with a text feature for each language.
        keys: name in the task -> the source's feature, a language:
            `{"inputs": "en", "targets": "de"}`.
        prefix: text before every input, such as `translate English to German: `, for models that
            learn several directions.
        more_metrics: SeqIO metric functions in addition to BLEU and chrF.
        steps: `KEPT` or `STREAMED`.
    """
    rekey = partial(seqio.preprocessors.rekey, key_map=dict(keys))
    start = partial(with_prefix, prefix=prefix)
    features = {key: seqio.Feature(byte_vocabulary()) for key in ("inputs", "targets")}
    preprocessors = [rekey, *([start] if prefix else []), *steps]
    bleu = partial(metrics.bleu, language=keys["targets"])
    metric_fns = [bleu, metrics.chrf, *more_metrics]
    return seqio.TaskRegistry.add(
        name, source, features, preprocessors=preprocessors, metric_fns=metric_fns
    )


@seqio.map_over_dataset
def with_prefix(example: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Puts a prefix before the inputs."""
    return {**example, "inputs": prefix + example["inputs"]}
