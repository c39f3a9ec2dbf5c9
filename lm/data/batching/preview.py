"""The first examples of a task at its three stages: raw, tokenized, and as rows for a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.registry import task_registry
from lm.data.rows import classification, features, packing, question_answering
from lm.data.rows.converter import OPTIONAL_FEATURES, Converter, to_rows
from lm.data.storage import token_store
from lm.data.tokenizer_json import TokenizerVocabulary
from lm.quiet import without_chatter

Example = dict[str, Any]
_LABELLED: Mapping[str, Callable[[], Any]] = {
    "label": classification.Classification,
    "labels": classification.TokenClassification,
    "score": classification.Regression,
    "start": question_answering.Spans,
}
POOL = 64  # examples from which rows are packed
TEMPLATE = "template"  # the feature of a prompt's template


@dataclass(frozen=True)
class Preview:
    """Examples of a task or mixture, with sizes and vocabularies.

    Attributes:
        name: of the task or mixture.
        split: the split that was read.
        counts: number of examples of each task, None where unknown.
        vocabularies: of each feature.
        raw: examples as their source gives them; of a mixture, from its tasks in turn. Where they
            name the template of their prompt, the shortest one of each template.
        tokens: examples after the task's preprocessors.
        rows: the model's features.
    """

    name: str
    split: str
    counts: Mapping[str, int | None]
    vocabularies: Mapping[str, seqio.Vocabulary]
    raw: Sequence[Example]
    tokens: Sequence[Example]
    rows: Sequence[Example]


def preview(
    *,
    name: str,
    split: str,
    number: int,
    lengths: packing.Lengths | None = None,
    converter: Callable[[], Converter] | None = None,
    vocabulary: seqio.Vocabulary | None = None,
) -> Preview:
    """Read the beginning of a split, in order, without tokenizing the rest.

    Args:
        name: name of a registered task or mixture.
        split: name of the split.
        number: how many examples, and how many rows at most.
        lengths: TASK_FEATURE_LENGTHS; 128 of each feature by default.
        converter: factory of a feature converter; by default a packing one that fits the task.
        vocabulary: replaces the task's own.

    Raises:
        UserError: naming what is unknown or missing.
    """
    task_registry.require_data(
        task_registry.get(name), split
    )  # before its splits: TFDS must be there to know
    provider = task_registry.provider(name, split, vocabulary)
    parts = task_registry.tasks(provider, split)
    lengths = lengths or dict.fromkeys(provider.output_features, 128)
    made = (converter or default_converter(provider))()
    raw = [part.source.get_dataset(split=split, shuffle=False) for part in parts]
    tokenized = [_tokenized(part, split, lengths) for part in parts]
    pool = [stream.keep(part, (*made.task_features, *OPTIONAL_FEATURES)) for part in tokenized]
    rows = to_rows(made, _interleaved(pool).take(POOL), lengths)
    with without_chatter():  # SentencePiece logs that it opened its model
        tokens = list(islice(_in_turn(tokenized), number))
        packed = list(islice(rows.as_numpy_iterator(), number))
    return Preview(
        name=name,
        split=split,
        counts={part.name: part.num_input_examples(split) for part in parts},
        vocabularies={key: value.vocabulary for key, value in provider.output_features.items()},
        raw=_raw(raw, number),
        tokens=tokens,
        rows=packed,
    )


def default_converter(provider: task_registry.Provider) -> Callable[[], Any]:
    """A converter for the features that a task has: of labels, or one that packs."""
    for name, converter in _LABELLED.items():
        if name in provider.output_features:
            return converter
    if "inputs" in provider.output_features:
        return lambda: features.EncoderDecoder(pack=packing.FirstFit)
    return lambda: features.LanguageModel(pack=packing.FirstFit)


def piece(vocabulary: seqio.Vocabulary, token: int) -> str:
    """What one id stands for, in visible characters.

    Example:
        >>> [piece(seqio.ByteVocabulary(), token) for token in (0, 1, 68, 35, 198)]
        ['<pad>', '<eos>', 'A', '␣', '#198']
    """
    if isinstance(vocabulary, seqio.PassThroughVocabulary):  # a label by its name, or a score
        return str(vocabulary.decode([token]))
    special = {vocabulary.pad_id: "<pad>", vocabulary.eos_id: "<eos>", vocabulary.unk_id: "<unk>"}
    if token in special:
        return special[token]
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return vocabulary.tokenizer.IdToPiece(int(token))
    if isinstance(vocabulary, TokenizerVocabulary):
        return vocabulary.piece(int(token))
    return visible(vocabulary.decode([int(token)])) or f"#{token}"


def text(vocabulary: seqio.Vocabulary, ids: Sequence[int]) -> str:
    """What ids stand for, in one line."""
    return visible(vocabulary.decode([int(token) for token in ids])).replace("␣", " ")


def visible(characters: str) -> str:
    r"""The same with signs for what cannot be seen.

    Example:
        >>> visible("a b\n")
        'a␣b↵'
    """
    signs = {" ": "␣", "\n": "↵", "\t": "⇥"}
    return "".join(signs.get(c, c if c.isprintable() else repr(c)[1:-1]) for c in characters)


def _tokenized(task: seqio.Task, split: str, lengths: packing.Lengths) -> tf.data.Dataset:
    dataset = token_store.examples(task, split)
    return stream.preprocess(task, dataset, stream.Steps(lengths))


def _raw(parts: Sequence[tf.data.Dataset], number: int) -> list[Example]:
    """The first examples, or one of each template, the shortest of the pool."""
    if not all(TEMPLATE in part.element_spec for part in parts):
        return list(islice(_in_turn(parts), number))
    pool = sorted(islice(_in_turn(parts), POOL), key=lambda example: len(example["inputs"]))
    by_template: dict[int, Example] = {}
    for example in pool:
        by_template.setdefault(example[TEMPLATE], example)
    return [by_template[index] for index in sorted(by_template)]


def _in_turn(parts: Sequence[tf.data.Dataset]) -> Iterator[Example]:
    """One example of each dataset after the other; those that have ended are passed over."""
    waiting = [part.as_numpy_iterator() for part in parts]
    while waiting:
        current = waiting.pop(0)
        if (example := next(current, None)) is not None:
            yield {name: _plain(value) for name, value in example.items()}
            waiting.append(current)


def _plain(value: Any) -> Any:
    """Bytes as text, arrays as lists, numbers as numbers."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def _interleaved(parts: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    """One example of each dataset in turn."""
    turns = tf.data.Dataset.range(len(parts)).repeat()
    return tf.data.Dataset.choose_from_datasets(list(parts), turns)
