"""Texts written while training."""

import lm
from lm.data.evaluation.evaluation_task import EvaluationTask
from lm.data.preprocessing.denoising import span_corruption
from lm.data.rows.features import EncoderDecoder
from lm.data.vocabulary import byte_vocabulary
from lm.train.samples import Samples, format_example, write_samples
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


def test_samples_see_what_the_preprocessors_of_training_made(tmp_path):
    trained = lm.load(tiny_run.make("continues", tmp_path)).trained
    vocabulary = byte_vocabulary(extra_ids=100)
    samples = Samples(
        mixture_or_task_name="tiny_text",
        lengths={"inputs": 16, "targets": 8},
        converter=EncoderDecoder,
        vocabulary=vocabulary,
        preprocessors=[span_corruption],
    )
    trained.features["targets"] = samples._made["features"]["targets"]
    inputs, targets = format_example(trained, samples.examples[0]).split("\n-> ")
    assert inputs != targets
    assert vocabulary.vocab_size - 1 in samples.examples[0]["inputs"]
