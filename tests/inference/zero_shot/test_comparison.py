"""What makes two results unlike, and which metrics are tested in pairs."""

import pytest

from lm.data.evaluation.estimates import Estimate
from lm.errors import UserError
from lm.inference.ensemble import joined
from lm.inference.own_weights import with_weights
from lm.inference.run import load
from lm.inference.zero_shot.comparison import compare
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
