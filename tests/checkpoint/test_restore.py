"""Restoring is strict both ways and changes nothing when it refuses."""

import keras
import numpy as np
import pytest

from lm import disk
from lm.abstract import on_shapes, reading
from lm.checkpoint import (
    CheckpointError,
    Store,
    assign,
    latest,
    load_weights,
    mapped_weights,
    write,
)


@pytest.fixture
def variables():
    with keras.name_scope("layer"):
        return {
            f"layer/{n}": keras.Variable(np.zeros((2, 3), "float32"), name=n) for n in ("a", "b")
        }


@pytest.fixture
def arrays():
    return {f"layer/{n}": np.ones((2, 3), "float32") for n in ("a", "b")}


MUTATIONS = {
    "missing": (lambda x: x.pop("layer/b"), "layer/b is not in the checkpoint"),
    "extra": (
        lambda x: x.update(c=np.zeros(1, "float32")),
        "c is only in the checkpoint",
    ),
    "renamed": (lambda x: x.update(z=x.pop("layer/b")), "z is only in the checkpoint"),
    "reshaped": (
        lambda x: x.update({"layer/b": x["layer/b"].T}),
        r"layer/b is float32 \[3, 2\] in the checkpoint, float32 \[2, 3\] here",
    ),
    "retyped": (
        lambda x: x.update({"layer/b": x["layer/b"].astype("float16")}),
        "layer/b is float16",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_difference_is_refused_by_name_and_admitted_by_name(variables, arrays, mutation):
    mutate, message = MUTATIONS[mutation]
    mutate(arrays)
    with pytest.raises(CheckpointError, match=message):
        assign(variables, arrays, source="step 3")
    assert not np.asarray(variables["layer/a"].value).any()
    admitted = assign(variables, arrays, source="step 3", partial=["^layer/b$", "^c$", "^z$"])
    assert admitted
    assert np.asarray(variables["layer/a"].value).all()


def test_what_was_built_on_shapes_gets_no_initial_values(arrays):
    def refused(shape, dtype):
        raise AssertionError("an initial value that nothing reads")

    with on_shapes("test"), keras.name_scope("layer"):
        variables = {
            f"layer/{n}": keras.Variable(refused, shape=(2, 3), dtype="float32", name=n)
            for n in ("a", "b")
        }
    assign(variables, arrays, source="step 3")
    assert all(np.asarray(variable.value).all() for variable in variables.values())


def test_what_was_built_on_shapes_computes_from_arrays_that_are_read_as_they_are_used(arrays):
    with on_shapes("test"):
        model = Model()
        model(keras.KerasTensor((1, 3)))
    kernel, bias = model.dense.kernel, model.dense.bias
    noise = np.random.default_rng(0)
    kernel_array, x = noise.normal(size=(3, 2)).astype("float16"), np.ones((1, 3), "float32")
    with reading({kernel.path: kernel_array}):
        found = np.asarray(model(x))
    np.testing.assert_allclose(found, x @ kernel_array.astype("float32"), rtol=1e-6)
    assert kernel._value is bias._value is None


def test_only_what_is_named_is_admitted(variables, arrays):
    del arrays["layer/a"], arrays["layer/b"]
    with pytest.raises(CheckpointError) as error:
        assign(variables, arrays, source="step 3", partial=["/a"])
    assert "layer/b is not" in str(error.value)
    assert "layer/a" not in str(error.value)


class Model(keras.Model):
    def __init__(self):
        super().__init__(name="model")
        self.dense = keras.layers.Dense(2, name="dense")

    def call(self, x):
        return self.dense(x)


class Objective(keras.Model):
    def __init__(self, name):
        super().__init__(name=name)
        self.model = Model()

    def call(self, x):
        return self.model(x)


def built(model, seed):
    keras.utils.set_random_seed(seed)
    model(np.zeros((1, 3), "float32"))
    return model


def test_weights_load_into_another_objective_and_into_the_model_alone(tmp_path):
    first = built(Objective("first"), 0)
    kernel = np.asarray(first.model.dense.kernel.value)
    store = Store(tmp_path)
    groups = {"weights": {"model/dense/kernel": kernel, "model/dense/bias": np.zeros(2, "float32")}}
    store.save(step=1, groups=groups, data_state=b"", metadata={})
    store.close()
    second, alone, inside = (
        built(Objective("other"), 1),
        built(Model(), 2),
        built(Objective("o"), 3),
    )
    for target, model in ((second, second.model), (alone, alone), (inside.model, inside.model)):
        assert load_weights(target, latest(tmp_path)) == []
        np.testing.assert_array_equal(np.asarray(model.dense.kernel.value), kernel)


def test_every_file_is_hashed_once(arrays, tmp_path, monkeypatch):
    groups = {"weights": arrays, "averages": arrays}
    saved = write(tmp_path / "1", step=1, groups=groups, data_state=b"", metadata={})
    hashed, sha256 = [], disk.sha256
    monkeypatch.setattr(disk, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    assert mapped_weights(saved).keys() == arrays.keys()
    assert sorted(hashed) == ["averages.safetensors", "data_state", "weights.safetensors"]
