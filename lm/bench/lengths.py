"""A training step of several models at several lengths, with constant tokens per batch.

Every cell runs in its own process, so that the peak memory is its own. A process inherits its
parent's peak, so heavy modules are imported only in the child.
"""

import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

HEADERS = ("model", "parameters", "rows x length", "step s", "tokens/s", "peak MiB")


class Cell(NamedTuple):
    """A measurement of one model at one length.

    Attributes:
        model: gin file.
        parameters: number of trainable parameters.
        length: tokens per row.
        rows: batch size.
        step_seconds: time of a training step, median over the windows.
        tokens_per_second: of training.
        peak_memory_bytes: of the accelerator if it reports it, else of the process.
    """

    model: str
    parameters: int
    length: int
    rows: int
    step_seconds: float
    tokens_per_second: float
    peak_memory_bytes: int


def cells(
    files: Sequence[str], lengths: Sequence[int], *, tokens: int, windows: int, dtype_policy: str
) -> Iterator[Cell | None]:
    """Yields the cells in order, length by length; None if a process ran out of memory.

    Args:
        files: gin files of models.
        lengths: tokens per row, none above `tokens`.
        tokens: tokens per batch, the same at every length.
        windows: timed windows per cell.
        dtype_policy: Keras' name of the precision.
    """
    for length in lengths:
        for file in files:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                try:
                    yield pool.submit(cell, file, length, tokens, windows, dtype_policy).result()
                except BrokenProcessPool:
                    yield None


def cell(file: str, length: int, tokens: int, windows: int, dtype_policy: str) -> Cell:
    """Measures one cell in this process."""
    import keras

    from lm import engines
    from lm.bench.measure import Repeated, train_speed
    from lm.bench.synthetic import synthetic_batch
    from lm.config import load
    from lm.objectives.token_prediction import TokenPrediction
    from lm.optim import adamw

    keras.config.set_dtype_policy(dtype_policy)
    objective = TokenPrediction(model=load([file], roots=["MODEL"]).value("MODEL"))
    rows = max(tokens // length, 1)
    batch = synthetic_batch(objective, rows=rows, inputs=length, targets=length)
    engine = engines.get()(objective=objective, optimizer=adamw(learning_rate=1e-4), features=batch)
    speed, _ = train_speed(engine, Repeated(batch), tokens=rows * length, windows=windows)
    return Cell(
        model=file,
        parameters=sum(math.prod(v.shape) for v in objective.trainable_variables),
        length=length,
        rows=rows,
        step_seconds=rows * length / speed.tokens_per_second,
        tokens_per_second=speed.tokens_per_second,
        peak_memory_bytes=peak_bytes(),
    )


def row(cell: Cell) -> list[str]:
    """Returns a table row under `HEADERS`."""
    return [
        cell.model.rpartition("/")[2].removesuffix(".gin"),
        f"{cell.parameters:,}",
        f"{cell.rows} x {cell.length}",
        f"{cell.step_seconds:.3f}",
        f"{cell.tokens_per_second:,.0f}",
        f"{cell.peak_memory_bytes / 2**20:,.0f}",
    ]


def peak_bytes() -> int:
    """The peak memory of JAX's first device if it reports it, else of the process."""
    import keras

    from lm.bench.peak import peak_memory

    if keras.backend.backend() == "jax":
        import jax

        return int((jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)) or (
            peak_memory()
        )
    return peak_memory()
