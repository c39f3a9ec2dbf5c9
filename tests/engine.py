"""Gradients and compilation on whichever engine runs, for tests that know neither."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from lm.abstract import give_values, on_shapes, set_value

BACKEND = keras.backend.backend()

# Tiny functions run once or twice: LLVM's passes and emitters of fusions would be most of the time.
HASTY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def numpy(tree: Any) -> Any:
    """Returns a tree of arrays; bfloat16 becomes float32."""
    return keras.tree.map_structure(lambda x: _array(x), tree)


def _array(x: Any) -> np.ndarray:
    if isinstance(x, np.ndarray | int | float):
        return np.asarray(x)
    if keras.backend.standardize_dtype(x.dtype) == "bfloat16":
        x = keras.ops.cast(x, "float32")
    return np.asarray(x)


def differentiate(
    function: Callable[..., tuple[Any, Any]],
    variables: Sequence[Any],
    seeds: Sequence[Any] = (),
    compiled: Callable[[Any], Any] | None = None,
) -> Callable[..., tuple[Any, dict[str, np.ndarray]]]:
    """Returns the function's gradients: `(*inputs) -> (outputs, gradients of loss by path)`.

    Args:
        function: `(*inputs) -> (loss, outputs)`, reads the variables.
        variables: what to differentiate by.
        seeds: variables that the function changes.
        compiled: `jit`, `eager`, or the faster of the two in tests.
    """
    differentiated = {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients}[BACKEND]
    run = differentiated(function, variables, seeds, compiled or quick)

    def call(*inputs: Any) -> tuple[Any, dict[str, np.ndarray]]:
        outputs, gradients = run(*inputs)
        names = (variable.path for variable in variables)
        return numpy(outputs), dict(zip(names, numpy(gradients), strict=True))

    return call


def _tensorflow_gradients(function: Any, variables: Any, seeds: Any, compiled: Any) -> Any:
    import tensorflow as tf

    del seeds

    def run(*inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, outputs = function(*inputs)
        gradients = tape.gradient(
            loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return outputs, [tf.convert_to_tensor(g) for g in gradients]

    return compiled(run)


def _jax_gradients(function: Any, variables: Any, seeds: Any, compiled: Any) -> Any:
    import jax

    def run(values: Any, states: Any, *inputs: Any) -> Any:
        mapping = [*zip(variables, values, strict=True), *zip(seeds, states, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss, outputs = function(*inputs)
        return loss, (outputs, [scope.get_current_value(seed) for seed in seeds])

    differentiated = compiled(jax.value_and_grad(run, has_aux=True))

    def call(*inputs: Any) -> Any:
        values, states = [v.value for v in variables], [seed.value for seed in seeds]
        (_, (outputs, states)), gradients = differentiated(values, states, *inputs)
        for seed, state in zip(seeds, states, strict=True):
            seed.assign(state)
        return outputs, gradients

    return call


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function as it is."""
    return function


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function compiled by XLA."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True, autograph=False)
    import jax

    return jax.jit(function, compiler_options=HASTY)


# The way that is faster in tests, since JAX compiles even eager calls, and the other.
quick, slower = (jit, eager) if BACKEND == "jax" else (eager, jit)


def spec(function: Callable[..., Any], *inputs: Any) -> Any:
    """Returns shapes and types of what the function returns, without running it."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return (
            tf.function(function, autograph=False).get_concrete_function(*inputs).structured_outputs
        )
    import jax

    return jax.eval_shape(function, *inputs)


def fill(layer: Any) -> None:
    """Gives every weight values that depend on its path alone, the same on every engine."""
    for variable in layer.trainable_variables:
        noise = np.random.default_rng(zlib.crc32(variable.path.encode()))
        deviation = variable.shape[0] ** -0.5 if len(variable.shape) > 1 else 0.2
        centre = 1.0 if variable.path.endswith("/scale") else 0.0
        set_value(variable, centre + deviation * noise.standard_normal(variable.shape))


def filled(layer: Any, *inputs: Any) -> Any:
    """Returns the layer built on the shapes of its inputs, as training builds, and filled."""
    with on_shapes("a layer of a test"):
        layer(*keras.tree.map_structure(_shape_of, inputs))
    fill(layer)  # first, so that no initializer of a weight is run
    give_values(layer.variables)
    return layer


def _shape_of(x: Any) -> Any:
    is_array = hasattr(x, "shape") and not isinstance(x, keras.KerasTensor)
    return keras.KerasTensor(x.shape, keras.backend.standardize_dtype(x.dtype)) if is_array else x


def assert_near(actual: Any, expected: Any, tolerance: float) -> None:
    """Compares, relative to the largest expected number or 1."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    largest = max(1.0, float(np.abs(expected).max(initial=0)))
    worst = float(np.abs(actual - expected).max(initial=0)) / largest
    assert worst <= tolerance, f"differs by {worst:.3g}, more than {tolerance:.0e}"


def assert_all_near(
    actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float
) -> None:
    """Compares two dictionaries of arrays, naming the entry that differs."""
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        try:
            assert_near(actual[name], array, tolerance)
        except AssertionError as error:
            raise AssertionError(f"{name} {error}") from None
