"""A preview of a task: its first examples raw, tokenized, and as rows for a model."""

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
from lm.quiet import without_log_lines

Example = dict[str, Any]
_LABELLED: Mapping[str, Callable[[], Any]] = {
    "label": classification.Classification,
    "labels": classification.TokenClassification,
    "score": classification.Regression,
    "start": question_answering.Spans,
}
POOL = 64  # examples to pack rows from
TEMPLATE = "template"  # the feature of a prompt's template


@dataclass(frozen=True)
class Preview:
    """Examples of a task or mixture, with sizes and vocabularies.

    Attributes:
        name: of the task or mixture.
        split: the split that was read.
        counts: number of examples of each task, None where unknown.
        vocabularies: of each feature.
        raw: raw examples; of a mixture, from its tasks in turn. For tasks with prompt templates,
            the shortest example of each template.
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
    """Reads the first examples of a split, in order, without tokenizing the rest.

    Args:
        name: name of a registered task or mixture.
        split: name of the split.
        number: number of examples, and maximum number of rows.
        lengths: TASK_FEATURE_LENGTHS; by default 128 for each feature.
        converter: factory of a feature converter; by default the one for the task, with packing.
        vocabulary: replaces the task's own.

    Raises:
        UserError: something is unknown or missing.
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
    with without_log_lines():  # SentencePiece logs when it opens a model
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
    """Returns a converter for the features of a task: of labels, or with packing."""
    for name, converter in _LABELLED.items():
        if name in provider.output_features:
            return converter
    if "inputs" in provider.output_features:
        return lambda: features.EncoderDecoder(pack=packing.FirstFit)
    return lambda: features.LanguageModel(pack=packing.FirstFit)


def piece(vocabulary: seqio.Vocabulary, token: int) -> str:
    """Returns the piece of an id, in visible characters.

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
    """Returns the text of ids, in one line."""
    return visible(vocabulary.decode([int(token) for token in ids])).replace("␣", " ")


def visible(characters: str) -> str:
    r"""Returns text with symbols for invisible characters.

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
    """Returns the first examples, or the shortest one of each template."""
    if not all(TEMPLATE in part.element_spec for part in parts):
        return list(islice(_in_turn(parts), number))
    pool = sorted(islice(_in_turn(parts), POOL), key=lambda example: len(example["inputs"]))
    by_template: dict[int, Example] = {}
    for example in pool:
        by_template.setdefault(example[TEMPLATE], example)
    return [by_template[index] for index in sorted(by_template)]


def _in_turn(parts: Sequence[tf.data.Dataset]) -> Iterator[Example]:
    """Yields examples of the datasets in turn; skips those that have ended."""
    waiting = [part.as_numpy_iterator() for part in parts]
    while waiting:
        current = waiting.pop(0)
        if (example := next(current, None)) is not None:
            yield {name: _plain(value) for name, value in example.items()}
            waiting.append(current)


def _plain(value: Any) -> Any:
    """Returns bytes as text, arrays as lists, numbers as Python numbers."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def _interleaved(parts: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    """Returns the examples of the datasets in turn."""
    turns = tf.data.Dataset.range(len(parts)).repeat()
    return tf.data.Dataset.choose_from_datasets(list(parts), turns)
