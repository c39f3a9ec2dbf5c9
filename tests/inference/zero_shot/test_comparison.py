"""What makes two results unlike, and which metrics are tested in pairs."""

from types import SimpleNamespace

import numpy as np
import pytest

from lm.cli.main import main
from lm.data.evaluation.estimates import Estimate
from lm.data.evaluation.questions import Passage
from lm.errors import UserError
from lm.inference.ensemble import joined
from lm.inference.own_weights import with_weights
from lm.inference.run import load
from lm.inference.zero_shot.comparison import compare
from lm.inference.zero_shot.judge import judge
from lm.inference.zero_shot.respondent import Respondent
from lm.inference.zero_shot.suite import SetResult, signed, write_result
from tests import tiny_run
from tests.inference.zero_shot.test_suite import CHOICES, SETS

SAMPLES = [{"values": {"accuracy": float(n % 2)}} for n in range(4)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return load(tiny_run.make("continues", tmp_path_factory.mktemp("run"))).trained


def signature_of(trained):
    return signed(Respondent(trained=trained), SETS[0], CHOICES, CHOICES)


def result(signature, *, samples=SAMPLES, metrics=("accuracy",)):
    found = {name: Estimate(0.5, 0.1, 0.3, 0.7) for name in metrics}
    return SetResult("toy", "", len(samples), found, signature, 7, samples)


def test_narrow_weights_are_unlike_the_models_own(trained, tmp_path):
    own, narrow = (result(signature_of(with_weights(trained, w))) for w in ("float32", "int8"))
    for name, one in (("a", own), ("b", narrow)):
        write_result(one, tmp_path / name, samples=True)
    with pytest.raises(UserError, match='not alike: weights "float32" and "int8"'):
        compare(tmp_path / "a", tmp_path / "b")
    assert own.file_name() != narrow.file_name()


def test_an_ensemble_is_unlike_one_of_its_models(trained, tmp_path):
    both = joined({"a": trained, "b": trained})
    for name, one in (("a", both), ("b", trained)):
        write_result(result(signature_of(one)), tmp_path / name, samples=False)
    with pytest.raises(UserError, match=r"not alike: models 2 and 1\. .*--allow=models"):
        compare(tmp_path / "a", tmp_path / "b")
    assert compare(tmp_path / "a", tmp_path / "b", allow=["models"])


def test_results_from_before_have_one_model_and_its_own_weights(trained, tmp_path):
    new = signature_of(trained)
    old = {name: value for name, value in new.items() if name not in ("models", "weights")}
    write_result(result(new), tmp_path / "new", samples=False)
    write_result(result(old), tmp_path / "old", samples=False)
    assert compare(tmp_path / "old", tmp_path / "new")
    mean = old | {"checkpoint": [old["checkpoint"]] * 2}
    write_result(result(mean), tmp_path / "old", samples=False)
    with pytest.raises(UserError, match="models 2 and 1"):
        compare(tmp_path / "old", tmp_path / "new")


def write(folder, *, samples=SAMPLES, metrics=("accuracy",), saved=True, **signature):
    signature = {"data": "d", "questions": len(samples)} | signature
    write_result(result(signature, samples=samples, metrics=metrics), folder, samples=saved)


def test_other_questions_are_not_paired(tmp_path):
    write(tmp_path / "a")
    for name, other in (("data", {"data": "e"}), ("questions", {"samples": SAMPLES[:3]})):
        write(tmp_path / name, **other)
        (found,) = compare(tmp_path / "a", tmp_path / name, allow=[name])
        assert found.difference is None
        assert not found.lacks_samples
    write(tmp_path / "shots", shots=1)
    (found,) = compare(tmp_path / "a", tmp_path / "shots", allow=["shots"])
    assert found.difference.value == 0.0


@pytest.mark.parametrize(("metric", "helps"), [("accuracy", True), ("bleu", False)])
def test_samples_are_advised_where_they_help(tmp_path, capsys, metric, helps):
    for name in ("a", "b"):
        write(tmp_path / name, metrics=[metric], saved=False)
    assert main(["results", "compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert ("--log_samples" in capsys.readouterr().out) is helps


def test_passages_are_paired_by_bits_per_byte():
    """The mean of the samples' values is the ratio of all bits to all bytes."""
    respondent = SimpleNamespace(rolling=lambda texts: [-3.0 * len(text) ** 2 for text in texts])
    judged = judge(respondent, SETS[3], [Passage("a"), Passage("bcd")])
    values = [sample["values"]["bits_per_byte"] for sample in judged.samples]
    ratio = judged.metrics["bits_per_byte"].measure(np.arange(2))
    assert np.mean(values) == pytest.approx(ratio) == pytest.approx(30 / 4 / np.log(2))
