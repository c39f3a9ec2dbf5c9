"""Tasks of running text for language models.

They are registered with bytes; a run chooses another vocabulary with the macro VOCABULARY, see
`lm.data.registry.task_registry.with_vocabulary`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import seqio

from lm.data.vocabulary import byte_vocabulary

Steps = Sequence[Callable[..., Any]]

# For data sets too large to cache: tokenized again whenever they are read.
STREAMED: Steps = (seqio.preprocessors.tokenize, seqio.preprocessors.append_eos)
# Tokenized once: the output of the steps before SeqIO's placeholder is cached.
KEPT: Steps = (*STREAMED, seqio.CacheDatasetPlaceholder())


def add_language_model(
    name: str,
    source: seqio.DataSource,
    *,
    keys: Mapping[str, str],
    vocabulary: seqio.Vocabulary | None = None,
    add_eos: bool = True,
    steps: Steps = KEPT,
) -> seqio.Task:
    """Registers a task whose `targets` are full documents; feature converters split them into rows.

    Args:
        name: the task's name.
        source: examples with a text feature.
        keys: name in the task -> the source's feature: `{"targets": "text"}`. A feature `words`
            is the number of words of a document, if it cannot be counted by spaces.
        vocabulary: a vocabulary other than bytes.
        add_eos: whether a document ends with the end-of-sequence id; False for an unbroken text.
        steps: `KEPT` or `STREAMED`.
    """
    feature = seqio.Feature(vocabulary or byte_vocabulary(), add_eos=add_eos)
    rekey = partial(seqio.preprocessors.rekey, key_map=dict(keys))
    return seqio.TaskRegistry.add(name, source, {"targets": feature}, preprocessors=[rekey, *steps])
