"""Linear maps between the word vectors of two languages."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lm.errors import UserError
from lm.inference.keyed_vectors import KeyedVectors


def closed_form(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Returns `argmin_W Σ |W x_i - z_i|² = Z Xᵀ (X Xᵀ)⁻¹`, of rows x [n, D] and z [n, E]: [E, D].

    Source: Mikolov, Le and Sutskever 2013 (https://arxiv.org/abs/1309.4168), equation 3.
    Departures: the exact minimum; the paper uses gradient descent.
    """
    return np.linalg.lstsq(x, z, rcond=None)[0].T


def orthogonal(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Returns `argmin Σ |W x_i - z_i|²` over orthogonal W: `U Vᵀ` of `Zᵀ X = U S Vᵀ`, [D, D].

    Source: Xing et al. 2015, https://aclanthology.org/N15-1104; Schönemann 1966.
    """
    u, _, v = np.linalg.svd(z.T @ x, full_matrices=False)
    return u @ v


class Precision(NamedTuple):
    """How often a correct translation is among the nearest words, in percent.

    Attributes:
        at_1: among the nearest one.
        at_5: among the five nearest.
        coverage: words that are translated: they have a vector and enough confidence.
    """

    at_1: float
    at_5: float
    coverage: float


class TranslationMatrix:
    """Translates a word to the one whose vector has the largest cosine with W x.

    Args:
        source: vectors of the source language.
        target: vectors of the target language.
        pairs: words and their translations, to learn W.
        fit: `closed_form` or `orthogonal`.

    Raises:
        UserError: fewer pairs have vectors than the source has dimensions.
    """

    def __init__(
        self,
        source: KeyedVectors,
        target: KeyedVectors,
        pairs: Sequence[tuple[str, str]],
        *,
        fit: Callable[[np.ndarray, np.ndarray], np.ndarray] = closed_form,
    ) -> None:
        known = [(a, b) for a, b in pairs if a in source and b in target]
        width = source.vectors.shape[1]
        if len(known) < width:
            raise UserError(
                f"{len(known)} of {len(pairs)} pairs have vectors; a map of {width} dimensions "
                "needs as many"
            )
        self.source, self.target = source, target
        x, z = (
            np.array([v[w] for w in words], np.float64)
            for v, words in zip((source, target), zip(*known, strict=True), strict=True)
        )
        self.matrix = fit(x, z)

    def translate(self, word: str, topn: int = 5) -> list[tuple[str, float]]:
        """Returns the nearest words of the target language with their cosines."""
        mapped = (self.matrix @ self.source[word]).astype(np.float32)
        return [
            (str(name), cosine) for name, cosine in self.target.most_similar([mapped], topn=topn)
        ]

    def precision(self, pairs: Sequence[tuple[str, str]], *, confidence: float = -1.0) -> Precision:
        """Returns the precision on test pairs.

        Args:
            pairs: words and translations; a word may occur with several translations.
            confidence: words whose largest cosine is below this are not translated.
        """
        right: dict[str, set[str]] = {}
        for word, translation in pairs:
            right.setdefault(word, set()).add(translation)
        found = {word: self.translate(word) for word in right if word in self.source}
        sure = {word: names for word, names in found.items() if names[0][1] >= confidence}
        hits = [[n in right[word] for n, _ in names] for word, names in sure.items()]
        count = max(len(hits), 1)
        return Precision(
            at_1=100 * sum(row[0] for row in hits) / count,
            at_5=100 * sum(map(any, hits)) / count,
            coverage=100 * len(hits) / max(len(right), 1),
        )
