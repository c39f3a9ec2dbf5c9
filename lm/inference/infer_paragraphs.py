"""Vectors of unseen paragraphs: trains a new row of the document table, all else is frozen."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from lm.data.paragraphs import draws, row_streams, window_batches
from lm.data.paragraphs.word_windows import WordWindows
from lm.data.registry import task_registry
from lm.engines.row_updates import Plan, Rates, Tables, update_rows
from lm.engines.rowwise import columns, plan_of, tables_of
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, Seed


@part
def infer(
    *,
    trained: Trained,
    texts: Sequence[str],
    epochs: PositiveInt = 20,
    learning_rate: NonNegativeFloat = 0.025,
    final_learning_rate: NonNegativeFloat = 1e-4,
    seed: Seed = 0,
    threads: PositiveInt = 1,
) -> np.ndarray:
    """Returns the vector of each text, float32 [N, D]: gradient descent on it alone.

    It depends on the text and the seed, not on other texts or the number of threads. A text without
    known words keeps its initial vector.

    Args:
        trained: a model of `lm.models.paragraph_vector` with documents.
        texts: the texts.
        epochs: passes over each text.
        learning_rate: of the first pass.
        final_learning_rate: of the last one; the decay is linear.
        seed: of the initial vector and of the samples.
        threads: number of texts trained at the same time.

    Raises:
        UserError: the model has no documents.

    Source: Le and Mikolov 2014 (https://arxiv.org/abs/1405.4053), section 2.2, the inference stage.
    """
    frozen = Frozen.of(trained)
    rates = np.linspace(learning_rate, final_learning_rate, epochs)
    with ThreadPoolExecutor(threads) as pool:
        ids = (np.array(trained.ids(x, "targets", add_eos=False), np.int32) for x in texts)
        found = list(pool.map(lambda tokens: vector(frozen, tokens, rates, seed), ids))
    return np.array(found, np.float32).reshape(len(texts), -1)


class Frozen(NamedTuple):
    """A trained model as arrays.

    Attributes:
        tables: its tables; that of the documents is used only for its width.
        plan: how vectors are made of inputs.
        settings: how rows are made of a document.
    """

    tables: Tables
    plan: Plan
    settings: draws.Settings

    @classmethod
    def of(cls, trained: Trained) -> "Frozen":
        """Returns what inference needs of a trained model.

        Raises:
            UserError: it has no documents.
        """
        if getattr(trained.model, "documents", None) is None:
            raise UserError(
                f"{type(trained.model).__name__} was trained without documents: it has no vectors "
                "of texts"
            )
        windows: WordWindows = trained.converter()
        objective: Any = trained.objective
        task = task_registry.task(trained.task, "train", trained.vocabulary)
        settings = windows.settings(window_batches.word_counts(task, "train"))
        plan = plan_of(trained.model, settings.before + settings.after)
        return cls(tables_of(objective), plan, settings)


def vector(frozen: Frozen, tokens: np.ndarray, rates: np.ndarray, seed: int) -> np.ndarray:
    """Returns the vector of a document, float32 [D].

    Args:
        frozen: the model.
        tokens: int32 [n], the ids of the document.
        rates: learning rate of every pass, [epochs].
        seed: as of `infer`.
    """
    key, width = zlib.crc32(tokens.tobytes()), frozen.tables.documents.shape[1]
    start = np.random.default_rng([seed, key]).uniform(-0.5, 0.5, (1, width)) / width
    tables = frozen.tables._replace(documents=start.astype(np.float32))
    for epoch, rate in enumerate(rates):
        rows = draws.rows_of(tokens, draws.key_of(seed, epoch, key), frozen.settings)
        batch = columns(row_streams.batch_of(rows))
        update_rows(tables, frozen.plan, Rates(rate, 0.0, 0.0), batch)
    return tables.documents[0]
