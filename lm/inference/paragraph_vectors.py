"""A run of paragraph vectors as an object with gensim's interface.

from lm.inference.paragraph_vectors import ParagraphVectors as Doc2Vec

model = Doc2Vec.load("runs/imdb_dbow")
model.dv.most_similar(7); model.wv.most_similar("film"); model.infer_vector(["a", "good", "film"])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lm.data.paragraphs.documents import FEATURE
from lm.data.special_ids import SPECIAL_IDS
from lm.engines.rowwise import tables_of
from lm.errors import UserError
from lm.inference.keyed_vectors import KeyedVectors
from lm.inference.run import Run
from lm.inference.run import load as load_run


@dataclass(frozen=True)
class ParagraphVectors:
    """A trained model of `lm.models.paragraph_vector`.

    Attributes:
        run: the run.
        dv: vectors of the training documents by number; empty for word vectors.
        wv: word vectors; empty if words were not trained.
    """

    run: Run
    dv: KeyedVectors
    wv: KeyedVectors

    @classmethod
    def load(cls, workdir: str | Path, checkpoint: str | int = "latest") -> "ParagraphVectors":
        """Loads a run folder.

        Raises:
            UserError: there is none, or its model has no paragraph vectors.
        """
        run = load_run(workdir, checkpoint)
        objective: Any = run.trained.objective
        if not hasattr(objective, "nodes"):
            raise UserError(
                f"{workdir}: {type(run.trained.model).__name__} has no paragraph vectors"
            )
        tables = tables_of(objective)
        vocabulary = run.trained.features[FEATURE].vocabulary
        words = tables.words[SPECIAL_IDS:]
        names = [vocabulary.decode([i + SPECIAL_IDS]) for i in range(len(words))]
        return cls(run, KeyedVectors(None, tables.documents), KeyedVectors(names, words))

    def infer_vector(
        self,
        doc_words: Sequence[str],
        alpha: float | None = None,
        min_alpha: float | None = None,
        epochs: int | None = None,
    ) -> np.ndarray:
        """Returns the vector of a new document, float32 [D].

        Args:
            doc_words: the words of the document.
            alpha: initial learning rate; the defaults of these three are the run's.
            min_alpha: final learning rate.
            epochs: number of passes over the words.
        """
        given = {"learning_rate": alpha, "final_learning_rate": min_alpha, "epochs": epochs}
        infer = self.run.config.configured("lm.inference.infer_paragraphs.infer")
        settings = {name: value for name, value in given.items() if value is not None}
        return infer(trained=self.run.trained, texts=[" ".join(doc_words)], **settings)[0]
