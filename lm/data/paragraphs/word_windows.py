"""Rows for paragraph and word vectors: the words around a word, and its output nodes."""

from collections.abc import Mapping

import numpy as np

from lm.data.paragraphs import draws
from lm.data.paragraphs.documents import FEATURE
from lm.data.paragraphs.nodes import NodesOf
from lm.data.special_ids import SPECIAL_IDS
from lm.parts import part
from lm.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt


@part
class WordWindows:
    """Contents of a row: C = before + after context words and the M output nodes of n words.

    With n > 1, consecutive words are predicted together, from the words around all of them and
    against the same negatives, so that fewer vectors are read and written for each.

    Args:
        nodes: `nodes.negative_sampling` or `nodes.hierarchical_softmax`.
        predicted: n, 1 in the paper; the loss of a row is the sum over its words.
        before: maximum context words before them; 0 on both sides for documents alone.
        after: maximum context words after them; 0 in the paper's distributed memory.
        least: minimum on a side, except at the ends of a document. 1 draws every window's size, as
            word2vec does; equal to `before`, windows are always full.
        sample: t of sub-sampling: a word of frequency f is kept with probability
            √(t/f) + t/f; 0 keeps all words.

    Source: Mikolov et al. 2013 (https://arxiv.org/abs/1310.4546), section 2.3; the formula of
    sub-sampling is that of its code.
    """

    task_features = (FEATURE,)

    def __init__(
        self,
        *,
        nodes: NodesOf,
        predicted: PositiveInt = 1,
        before: NonNegativeInt = 0,
        after: NonNegativeInt = 0,
        least: PositiveInt = 1,
        sample: NonNegativeFloat = 0.0,
    ) -> None:
        self.nodes, self.predicted, self.sample = nodes, predicted, sample
        self.before, self.after, self.least = before, after, least

    def settings(self, counts: np.ndarray) -> draws.Settings:
        """Returns everything that determines the rows of a document.

        Args:
            counts: counts of the words in the corpus, int64 [V].
        """
        counts = counts.copy()
        counts[:SPECIAL_IDS] = 0
        found = self.nodes(counts)
        return draws.Settings(
            predicted=self.predicted,
            before=self.before,
            after=self.after,
            least=min(self.least, max(self.before, self.after)),
            negatives=found.negatives,
            keep=keep_probabilities(counts, self.sample),
            paths=found.paths,
            labels=found.labels,
            sizes=found.sizes,
            accept=found.accept,
            alias=found.alias,
        )

    def row_shapes(self, lengths: Mapping[str, int]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Returns name → (shape, dtype) of one row; the number of nodes depends on the counts."""
        del lengths
        context = (self.before + self.after,)
        words = {"context": (context, "int32"), "context_weights": (context, "float32")}
        return {
            "documents": ((), "int32"),
            **(words if context[0] else {}),
            "nodes": ((1,), "int32"),
            "labels": ((1,), "float32"),
            "node_weights": ((1,), "float32"),
        }


def keep_probabilities(counts: np.ndarray, sample: float) -> np.ndarray:
    """Returns min(1, √(t/f) + t/f) for words of frequency f, 0 for words that do not occur.

    Example:
        >>> [round(float(p), 3) for p in keep_probabilities(np.array([0, 9900, 100]), 0.01)]
        [0.0, 0.111, 1.0]
    """
    share = counts / max(counts.sum(), 1)
    ratio = np.divide(sample or np.inf, share, out=np.zeros_like(share), where=share > 0)
    return np.minimum(np.sqrt(ratio) + ratio, counts > 0).astype(np.float32)
