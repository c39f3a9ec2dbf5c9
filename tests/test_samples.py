"""Texts written while training."""

import lm
from lm.data.evaluation_task import EvaluationTask
from lm.samples import write_samples
from tests import tiny_run


def test_a_language_model_goes_on_with_nothing_and_with_held_out_beginnings(tmp_path):
    trained = lm.load(tiny_run.make("continues", tmp_path)).trained
    task = EvaluationTask("tiny_text", "validation", lengths=trained.lengths)
    settings = {"trained": trained, "examples": task.examples, "workdir": tmp_path}
    first = write_samples(step=3, **settings).read_text()
    assert (tmp_path / "samples" / "000003.txt").is_file()
    titles = [line for line in first.splitlines() if line.startswith(("'", '"'))]
    assert titles == ["''", "'bac '", "'b'"]
    assert write_samples(step=4, **settings).read_text() == first
