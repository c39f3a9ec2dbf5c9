"""Named vectors: neighbours, similarities and analogies, with gensim's method names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lm import disk
from lm.errors import UserError
from lm.inference import word_tables
from lm.interop import word2vec

Key: TypeAlias = str | int
_QUESTIONS = 256  # analogies answered in one product


class KeyedVectors:
    """A matrix [V, D] with named rows: words, or numbers of documents.

    Args:
        names: of the rows, unique; None numbers them.
        vectors: float32 [V, D].

    Example:
        >>> found = KeyedVectors(["up", "down", "left"], np.array([[0, 1], [0.1, -1], [-1, 0]]))
        >>> found.most_similar("up", topn=1)[0][0], found.doesnt_match(["up", "down", "left"])
        ('left', 'down')

    Source: Mikolov et al. 2013 (https://arxiv.org/abs/1301.3781), section 4, for analogies.
    """

    def __init__(self, names: Sequence[str] | None, vectors: np.ndarray) -> None:
        self.vectors = np.asarray(vectors, np.float32)
        self.index_to_key: Sequence[Key] = range(len(vectors)) if names is None else list(names)
        self.key_to_index: Mapping[Key, int] = {key: i for i, key in enumerate(self.index_to_key)}
        norms = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.unit = self.vectors / np.maximum(norms, np.finfo(np.float32).tiny)

    def __len__(self) -> int:
        return len(self.vectors)

    def __contains__(self, key: Key) -> bool:
        return key in self.key_to_index

    def __getitem__(self, key: Key) -> np.ndarray:
        return self.vectors[self._row(key)]

    def most_similar(
        self,
        positive: Key | np.ndarray | Sequence[Key | np.ndarray] = (),
        negative: Key | np.ndarray | Sequence[Key | np.ndarray] = (),
        topn: int = 10,
    ) -> list[tuple[Key, float]]:
        """Returns the names of the largest cosines with `Σ positive - Σ negative`, and the cosines.

        Excludes the names in the arguments: `most_similar(["king", "woman"], ["man"])`.

        Raises:
            UserError: a name is unknown.
        """
        added, removed = _several(positive), _several(negative)
        target = sum(map(self._unit, added)) - sum(map(self._unit, removed))
        cosines = self.unit @ _normal(np.asarray(target, np.float32))
        given = [self._row(x) for x in [*added, *removed] if not isinstance(x, np.ndarray)]
        cosines[given] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(topn, len(cosines) - len(given))]
        return [(self.index_to_key[i], float(cosines[i])) for i in best]

    def similarity(self, one: Key, other: Key) -> float:
        """Returns the cosine of two names."""
        return float(self._unit(one) @ self._unit(other))

    def doesnt_match(self, keys: Sequence[Key]) -> Key:
        """Returns the name farthest from the mean of all."""
        rows = np.array([self._unit(key) for key in keys])
        return keys[int(np.argmin(rows @ _normal(rows.mean(axis=0))))]

    def evaluate_word_pairs(self, path: str | Path) -> dict[str, float]:
        """Returns Spearman's correlation with a table of `word, word, score`, in percent.

        Pairs with an unknown word are ignored; `coverage` is the fraction of the other pairs.
        """
        pairs = list(word_tables.scored_pairs(path))
        known = [pair for pair in pairs if pair.word in self and pair.other in self]
        ours = [self.similarity(a, b) for a, b, _ in known]
        found = np.corrcoef(ranks(ours), ranks([score for *_, score in known]))[0, 1]
        return {"spearman": 100 * float(found), "coverage": 100 * len(known) / len(pairs)}

    def evaluate_word_analogies(self, path: str | Path) -> dict[str, float]:
        """Returns how often d is nearest to b - a + c, in percent, for lines `a b c d` of a file.

        Lines with an unknown word are ignored; `coverage` is the fraction of the other lines.
        """
        lines = list(word_tables.analogies(path))
        known = [[self._row(x) for x in words] for words in lines if all(x in self for x in words)]
        questions = np.array(known, int).reshape(-1, 4)
        blocks = np.array_split(questions, 1 + len(questions) // _QUESTIONS)
        hits = sum(self._answered(block) for block in blocks)
        share = len(known) / max(len(lines), 1)
        return {"accuracy": 100 * hits / max(len(known), 1), "coverage": 100 * share}

    def _answered(self, questions: np.ndarray) -> int:
        """Returns how many of `a b c d`, rows [Q, 4], have d nearest to b - a + c."""
        a, b, c, d = questions.T
        cosines = (self.unit[b] - self.unit[a] + self.unit[c]) @ self.unit.T  # [Q, V], unscaled
        for given in (a, b, c):
            cosines[np.arange(len(questions)), given] = -np.inf
        return int(np.sum(cosines.argmax(axis=1) == d))

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file with the names in its header."""
        names = None if isinstance(self.index_to_key, range) else self.index_to_key
        content = save({"vectors": self.vectors}, {"names": json.dumps(names)})
        disk.replace(Path(path), content, what="the vectors")

    @classmethod
    def load(cls, path: str | Path) -> "KeyedVectors":
        """Reads what `save` wrote.

        Raises:
            UserError: it is not such a file.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                names = json.loads(file.metadata()["names"])
                return cls(names, file.get_tensor("vectors"))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a file of KeyedVectors.save: {error}") from error

    def save_word2vec_format(self, path: str | Path, *, binary: bool = False) -> None:
        """Writes word2vec's text or binary format."""
        write = word2vec.write_binary if binary else word2vec.write_text
        write(path, list(map(str, self.index_to_key)), self.vectors)

    @classmethod
    def load_word2vec_format(cls, path: str | Path, *, binary: bool = False) -> "KeyedVectors":
        """Reads word2vec's text or binary format; a bad file is a one-line error."""
        return cls(*(word2vec.read_binary if binary else word2vec.read_text)(path))

    def _row(self, key: Key) -> int:
        """Returns the row of a name.

        Raises:
            UserError: it is unknown.
        """
        if key not in self.key_to_index:
            raise UserError(f"{key!r} is not one of the {len(self)} names")
        return self.key_to_index[key]

    def _unit(self, key: Key | np.ndarray) -> np.ndarray:
        """Returns the vector of a name, or a given vector, scaled to length 1."""
        return _normal(key) if isinstance(key, np.ndarray) else self.unit[self._row(key)]


def ranks(values: Sequence[float]) -> np.ndarray:
    """Returns the ranks of numbers; equal numbers share their mean rank.

    >>> ranks([3.0, 1.0, 3.0])
    array([1.5, 0. , 1.5])
    """
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    return (ends - (sizes + 1) / 2)[group]


def _normal(x: np.ndarray) -> np.ndarray:
    return x / max(float(np.linalg.norm(x)), float(np.finfo(np.float32).tiny))


def _several(keys: Any) -> list[Any]:
    return [keys] if isinstance(keys, str | int | np.ndarray) else list(keys)
