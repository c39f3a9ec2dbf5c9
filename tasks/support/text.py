"""Tasks of running text for language models.

Registered with bytes; a run takes another vocabulary by its macro VOCABULARY, see
`lm.data.registry.task_registry.with_vocabulary`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import seqio

from lm.data.vocabulary import byte_vocabulary

Steps = Sequence[Callable[..., Any]]

# Tokens of a set too large to keep, made anew whenever it is read.
STREAMED: Steps = (seqio.preprocessors.tokenize, seqio.preprocessors.append_eos)
# Tokens made once: what stands before SeqIO's mark is kept.
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
    """Register a task whose `targets` are whole documents; converters cut them to rows.

    Args:
        name: the task's name.
        source: examples with one feature of text.
        keys: the source's features by the task's names: `{"targets": "text"}`. A feature
            `words` counts the words of a document where its spaces do not tell them.
        vocabulary: a vocabulary other than bytes.
        add_eos: whether a document ends with the end-of-sequence id; no for an unbroken stream.
        steps: `KEPT` or `STREAMED`.
    """
    feature = seqio.Feature(vocabulary or byte_vocabulary(), add_eos=add_eos)
    rekey = partial(seqio.preprocessors.rekey, key_map=dict(keys))
    return seqio.TaskRegistry.add(name, source, {"targets": feature}, preprocessors=[rekey, *steps])
