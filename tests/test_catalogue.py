"""The catalogue holds every public class, and its entries build under stable, given names."""

import importlib
import inspect
import pkgutil

import keras
import pytest

import lm.models
import lm.nn
import lm.objectives
from lm.mesh.axes import NAMES, declared
from lm.nn.branch import snake_case
from tests import built
from tests.batches import batch
from tests.catalogue import BRANCHES, MODELS, OBJECTIVES, OTHER_OBJECTIVES, having

ABSTRACT = {"Branch"}
# In no model of tokens: tests/engines/test_tables.py, tests/objectives/test_node_prediction.py,
# tests/decode/test_ensemble.py
ELSEWHERE = {
    "SparseTable",
    "BagOfWords",
    "DistributedMemory",
    "NodePrediction",
    "LabelEnsemble",
}


def public_layers():
    """Yields the public layer and model classes that the model side of the library defines."""
    for package in (lm.nn, lm.models, lm.objectives):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                defined = inspect.isclass(value) and value.__module__ == module.name
                if defined and issubclass(value, keras.layers.Layer) and name[0] != "_":
                    yield value


def test_every_public_class_is_in_the_catalogue():
    entries = [built.branch(case.name) for case in built.KINDS["branch"]]
    entries += [built.model(case.name) for case in MODELS]
    entries += [built.objective(case.name) for case in built.KINDS["objective"]]
    held = {type(layer) for entry in entries for layer in entry._flatten_layers()}
    missing = (
        {layer.__name__ for layer in public_layers()}
        - {c.__name__ for c in held}
        - ABSTRACT
        - ELSEWHERE
    )
    assert missing == set(), "add a line to tests/catalogue.py"


@having(BRANCHES)
def test_what_has_a_carry_says_how_it_is_read(case):
    made = built.branch(case.name)
    assert bool(case.carry) == bool(keras.tree.flatten(made.initial_carry(2)))


@having(MODELS)
def test_paths_do_not_depend_on_what_was_built_before(case):
    paths = [v.path for v in built.model(case.name).variables]
    again = [v.path for v in built.fresh_model(case).variables]
    assert again == paths
    assert len(set(paths)) == len(paths)
    assert any("dropout/seed/" in path for path in paths) or "rotary" in case.name


@having(MODELS)
def test_a_model_has_the_name_that_an_objective_gives_it(case):
    made = built.model(case.name)
    assert made.name == snake_case(type(made).__name__)


@pytest.mark.parametrize("kind", ["branch", "model"])
def test_every_matrix_has_logical_axes_that_rules_know(kind):
    made = [getattr(built, kind)(case.name) for case in built.KINDS[kind]]
    for one in made:
        axes = declared(one)
        assert {v.path for v in one.trainable_variables if len(v.shape) > 1} <= axes.keys()
        assert {name for names in axes.values() for name in names} <= NAMES
        assert all(len(axes[v.path]) == len(v.shape) for v in one.variables if v.path in axes)


@having([*OBJECTIVES, *OTHER_OBJECTIVES])
def test_an_objective_prefixes_the_paths_of_its_model(case):
    made = built.objective(case.name)
    assert {v.path.split("/")[0] for v in made.variables} == {made.name}


@having([*OBJECTIVES, *OTHER_OBJECTIVES])
def test_terms_are_known_by_shapes_alone(case):
    made = built.objective(case.name)
    features = built.shapes(batch(made.model, built.ROWS, built.LENGTH))
    features |= {name: keras.KerasTensor((2, 1)) for name in ("labels", "label_weights")}
    terms = made.terms(features, made(features))
    assert "loss" in terms
    assert {x.shape for ratio in terms.values() for x in ratio} == {()}
