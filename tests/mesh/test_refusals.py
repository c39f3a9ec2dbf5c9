"""What does not fit a mesh is refused before step 1, in a line that names the binding."""

import functools

import keras
import pytest

from lm.errors import ConfigError
from lm.mesh import Mesh, cluster
from tests.batches import batch
from tests.built import LENGTH, ROWS, find
from tests.mesh.families import MODELS, SHORTEST

RULES = [("batch", "data"), ("vocab", "model"), ("mlp", "model")]


@functools.cache
def model(name):
    with keras.StatelessScope(initialize_variables=False):
        made = find(MODELS, name).factory()
        made(batch(made, ROWS, LENGTH))
    return made


@pytest.fixture
def on_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")


def make(shape, rules=RULES, **more):
    return Mesh(shape=shape, rules=rules, **more)


def test_tensorflow_has_no_mesh(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ConfigError, match="use KERAS_BACKEND=jax") as caught:
        make({"data": 2, "model": 1})
    assert "\n" not in str(caught.value)


def test_a_batch_that_does_not_divide_names_its_binding(on_jax):
    mesh = make({"data": 4, "model": 2})
    mesh.check_rows(8, microbatches=2)
    with pytest.raises(ConfigError, match=r"BATCH_SIZE = 6 .*data 4.*multiple of 4"):
        mesh.check_rows(6)
    with pytest.raises(ConfigError, match=r"BATCH_SIZE = 4 in 2 microbatches.*multiple of 8"):
        mesh.check_rows(4, microbatches=2)


def test_the_devices_must_be_as_many_as_the_shape_says(on_jax):
    mesh = make({"data": -1, "model": 2})
    mesh.resolve(8)
    assert mesh.shape == {"data": 4, "model": 2}
    for shape, devices in (({"data": 2, "model": 2}, 8), ({"data": -1, "model": 3}, 8)):
        with pytest.raises(ConfigError, match=r"there are 8 devices.*MODEL_DEVICES"):
            make(shape).resolve(devices)


def test_rules_name_axes_that_exist(on_jax):
    with pytest.raises(ConfigError, match="logical axis 'hedas'"):
        make({"data": 2}, [("hedas", "data")])
    with pytest.raises(ConfigError, match="'modle', which is no axis"):
        make({"data": 2}, [("vocab", "modle")])


def test_what_splits_nothing_is_refused(on_jax):
    mesh = make({"data": 1, "model": 2, "expert": 2}, [*RULES, ("expert", "expert")])
    with pytest.raises(ConfigError, match="'expert' of 2 devices splits no variable"):
        mesh.layouts_of(model(SHORTEST))
    own = make({"data": 1, "model": 2}, axes={"nowhere/kernel": ("embed", "mlp")})
    with pytest.raises(ConfigError, match="'nowhere/kernel' is the end of no variable's path"):
        own.layouts_of(model(SHORTEST))


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("funnel", "primer")]


@pytest.mark.parametrize("name", [SHORTEST, *LONG])
def test_a_head_is_not_split_over_devices(on_jax, name):
    made = model(name)
    rules = [("batch", "data"), ("joined_kv", "model")]
    make({"data": 1, "model": 2}, rules).layouts_of(made)
    with pytest.raises(ConfigError, match=r"heads do not divide by.*NUM_HEADS.*MODEL_DEVICES"):
        make({"data": 1, "model": 4}, rules).layouts_of(made)
    make({"data": 1, "model": 4}, [("joined_kv", None), ("embed", "model")]).layouts_of(made)


def test_a_batch_over_two_axes_has_as_many_parts_as_both(on_jax):
    mesh = make({"data": 2, "expert": 4}, [("batch", ["data", "expert"])])
    assert mesh.shards == 8
    assert make({"data": 2}, []).shards == 1


def test_a_cluster_without_its_environment_is_refused(monkeypatch):
    for name in (cluster.ADDRESSES, cluster.PROCESSES, cluster.INDEX):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"KERAS_DISTRIBUTION_JOB_ADDRESSES.*in the environment"):
        cluster.addressed()
