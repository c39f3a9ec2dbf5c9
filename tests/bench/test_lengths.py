"""Speed by length: constant tokens per batch, models of equal size, cells out of memory."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from lm.bench import lengths
from lm.bench.lengths import Cell
from tests.golden import trees

TINY = """
# A tiny FLASH.
from __gin__ import dynamic_registration
include "models/flash/architecture.gin"
HIDDEN_DIM = 16
INTERMEDIATE_DIM = 32
NUM_LAYERS = 1
HEAD_DIM = 4
CHUNK_SIZE = 4
VOCABULARY_SIZE = 64
"""


class Pool:
    """Stands for a process; one of 8 tokens and more dies."""

    def __init__(self, workers, context):
        assert (workers, context.get_start_method()) == (1, "spawn")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, call, file, length, *rest):
        found: Future = Future()
        if length >= 8:
            found.set_exception(BrokenProcessPool())
        else:
            found.set_result((call, file, length, *rest))
        return found


def test_a_process_for_every_cell_and_none_for_one_that_died(monkeypatch):
    monkeypatch.setattr(lengths, "ProcessPoolExecutor", Pool)
    found = lengths.cells(["a", "b"], [4, 8], tokens=8, windows=1, dtype_policy="float32")
    rest = (4, 8, 1, "float32")
    assert list(found) == [(lengths.cell, "a", *rest), (lengths.cell, "b", *rest), None, None]


def test_a_row_of_the_table():
    cell = Cell("bench/lengths/flash.gin", 2_696_450, 512, 4, 0.5, 4096.0, 2**30)
    assert lengths.row(cell) == ["flash", "2,696,450", "4 x 512", "0.500", "4,096", "1,024"]


@pytest.mark.slow
def test_a_cell(tmp_path):
    file = tmp_path / "tiny.gin"
    file.write_text(TINY, encoding="utf-8")
    cell = lengths.cell(str(file), 8, 16, 1, "float32")
    assert (cell.parameters, cell.rows) == (trees.summary(str(file)).parameters, 2)
    assert cell.step_seconds * cell.tokens_per_second == pytest.approx(16)
    assert cell.peak_memory_bytes > 2**24


@pytest.mark.slow
def test_the_models_of_the_table_are_of_equal_size():
    files = sorted(trees.GIN.glob("bench/lengths/*.gin"))
    assert len(files) == 4
    sizes = [trees.summary(str(file)).parameters for file in files]
    assert max(sizes) < 1.01 * min(sizes), dict(zip(files, sizes, strict=True))
