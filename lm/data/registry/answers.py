"""The answer of a classification task: one label, a set of labels, or a score.

All are SeqIO vocabularies of a feature: `label` or `score`, one number per example, or `label_set`,
a 0 or 1 for each label. They turn the strings of the data into numbers and find invalid ones.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import seqio
import tensorflow as tf

from lm.data.registry import task_registry
from lm.data.vocabulary import contents
from lm.errors import UserError
from lm.parts import value

Names = Mapping[str, str]

LABEL, LABEL_SET, SCORE = "label", "label_set", "score"
LABELS = (LABEL, "labels", LABEL_SET)  # of a row, of its tokens, several of a row


class Answer(Protocol):
    """The vocabulary of a label, of a set of labels or of a score.

    Attributes:
        feature: its name in an example, `label`, `label_set` or `score`.
        dtype: its type there.
        rank: 0 for a number, 1 for a number of each label.
    """

    feature: str
    dtype: Any
    rank: int

    def fault(self, written: str) -> tuple[str, str]:
        """Returns kind and detail of what is wrong in a table, or two empty strings."""

    def describe(self) -> Any:
        """Returns all that decides the numbers, as plain JSON values."""


class LabelVocabulary(seqio.PassThroughVocabulary):
    """The labels of a task: their strings in the data, ids from 0 on, and names to show.

    Args:
        names: string in the data -> name, in the order of the ids; or a function that returns this,
            called at the first use.

    Example:
        >>> labels = LabelVocabulary({"0": "negative", "1": "positive"})
        >>> labels.encode_tf(tf.constant("1")).numpy(), labels.names, labels.vocab_size
        (np.int32(1), ('negative', 'positive'), 2)
    """

    feature = LABEL
    dtype = tf.int32
    rank = 0

    def __init__(self, names: Names | Callable[[], Names]):
        super().__init__(size=0)
        self._given = names

    @functools.cached_property
    def name_of(self) -> Names:
        """String in the data -> name, in the order of the ids."""
        return self._given() if callable(self._given) else self._given

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each id."""
        return tuple(self.name_of.values())

    @property
    def _base_vocab_size(self) -> int:
        return len(self.name_of)

    def _encode(self, written: str) -> int:
        return list(self.name_of).index(written)

    def _decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.names[i] for i in ids)

    def _encode_tf(self, written: tf.Tensor) -> tf.Tensor:
        """Returns the id, -1 for an unknown label."""
        is_text = written.dtype == tf.string
        text = written if is_text else tf.strings.as_string(written)
        is_it = tf.equal(text, tf.constant(list(self.name_of)))
        return tf.reduce_max(tf.where(is_it, tf.range(len(self.name_of)), -1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelVocabulary) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return id(self)

    def fault(self, written: str) -> tuple[str, str]:
        """Returns kind and detail of what is wrong in a table, or two empty strings."""
        if written in self.name_of:
            return "", ""
        return "unknown label", f" {written!r} (the labels are {', '.join(self.name_of)})"

    def describe(self) -> Any:
        """Returns all that decides the ids."""
        return list(self.name_of.items())


@contents.register
def _(vocabulary: LabelVocabulary) -> bytes:
    return repr(vocabulary.describe()).encode()


class LabelSetVocabulary(seqio.PassThroughVocabulary):
    """The labels of a task whose examples have any number of labels.

    Args:
        names: as in `LabelVocabulary`.
        separator: separates the labels of an example; spaces around it are ignored.

    Example:
        >>> labels = LabelSetVocabulary({"a": "a", "b": "b", "c": "c"})
        >>> labels.encode_tf(tf.constant("c, a")).numpy().tolist()
        [1, 0, 1]
        >>> labels.fault("c,d"), labels.fault("")
        (('unknown label', " 'd' (the labels are a, b, c)"), ('', ''))
    """

    feature = LABEL_SET
    dtype = tf.int32
    rank = 1

    def __init__(self, names: Names | Callable[[], Names], *, separator: str = ","):
        super().__init__(size=0)
        self.labels = LabelVocabulary(names)
        self.separator = separator

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each id."""
        return self.labels.names

    @property
    def _base_vocab_size(self) -> int:
        return len(self.names)

    def _encode_tf(self, written: tf.Tensor) -> tf.Tensor:
        """Returns 1 for each label of the example, else 0: int32 [L]."""
        found = tf.strings.strip(tf.strings.split(written, self.separator))
        is_it = tf.equal(found[:, None], tf.constant(list(self.labels.name_of)))  # [n, L]
        return tf.cast(tf.reduce_any(is_it, axis=0), tf.int32)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.separator.join(name for name, i in zip(self.names, ids, strict=True) if i)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSetVocabulary) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return id(self)

    def fault(self, written: str) -> tuple[str, str]:
        """Returns kind and detail of what is wrong in a table, or two empty strings."""
        faults = map(self.labels.fault, parts_of(written, self.separator))
        return next((found for found in faults if found[0]), ("", ""))

    def describe(self) -> Any:
        """Returns all that decides the ids."""
        return [self.labels.describe(), self.separator]


@contents.register
def _(vocabulary: LabelSetVocabulary) -> bytes:
    return repr(vocabulary.describe()).encode()


def parts_of(written: str, separator: str) -> list[str]:
    """Splits the labels of an example; none for an empty string.

    Example:
        >>> parts_of("a, b", ","), parts_of(" ", ",")
        (['a', 'b'], [])
    """
    return [part.strip() for part in written.split(separator)] if written.strip() else []


class ScoreVocabulary(seqio.PassThroughVocabulary):
    """A number to predict.

    Example:
        >>> float(ScoreVocabulary().encode_tf(tf.constant("2.50")))
        2.5
    """

    feature = SCORE
    dtype = tf.float32
    rank = 0

    def __init__(self) -> None:
        super().__init__(size=1)

    def _encode_tf(self, written: tf.Tensor) -> tf.Tensor:
        if written.dtype == tf.string:
            return tf.strings.to_number(written)
        return tf.cast(written, tf.float32)

    def _decode(self, ids: Sequence[float]) -> str:
        return " ".join(map(str, ids))

    def fault(self, written: str) -> tuple[str, str]:
        """Returns kind and detail of what is wrong in a table, or two empty strings."""
        try:
            finite = abs(float(written)) < float("inf")
        except ValueError:
            finite = False
        return ("", "") if finite else ("not a number", f" {written!r}")

    def describe(self) -> Any:
        """Returns the type."""
        return "float32"


def label_names(provider: task_registry.Provider) -> tuple[str, ...]:
    """Returns the label names of a task, or the common ones of a mixture's tasks.

    Raises:
        UserError: the task has no labels.
    """
    features = provider.output_features
    vocabularies = (features[name].vocabulary for name in (LABEL, LABEL_SET) if name in features)
    for vocabulary in vocabularies:
        if isinstance(vocabulary, LabelVocabulary | LabelSetVocabulary):
            return vocabulary.names
    raise UserError(f"{provider.name} has no labels; its features are {', '.join(features)}")


@value
def num_labels(*, task: str) -> int:
    """Returns the number of labels of a task or mixture, for the size of a head; 1 for a score.

    Args:
        task: name of the task, such as `%MIXTURE_OR_TASK_NAME`.

    Raises:
        UserError: there is no such task, or it has neither labels nor a score.
    """
    provider = task_registry.find(task)
    return 1 if SCORE in provider.output_features else len(label_names(provider))


def names_of_labels(features: Mapping[str, seqio.Feature]) -> tuple[str, ...]:
    """Returns the names of a task's labels by id, of rows or of tokens; empty without names.

    Args:
        features: the task's output features.
    """
    vocabularies = (features[name].vocabulary for name in LABELS if name in features)
    return next(
        (v.names for v in vocabularies if isinstance(v, LabelVocabulary | LabelSetVocabulary)), ()
    )
