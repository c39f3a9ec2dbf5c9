"""Which layer's output is the first that is not finite: the model run once, eagerly, watched."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from lm.engines import Program
from lm.mesh import cluster


def activations(program: Program, batch: Mapping[str, Any]) -> list[str]:
    """Return the paths of the layers whose output is not finite, in the order they finish.

    The pass is a training pass with the state as it is; nothing of the state changes. Layers that
    are recomputed in the backward pass (`Remat`) are seen from outside on JAX. All processes of a
    run must call this: what a layer returns may be split over them.

    Args:
        program: objective and state; the engine must have been pulled.
        batch: NumPy arrays; cut into the microbatches of the training.
    """
    for part in _parts(program, batch):
        found: list[str] = []
        with keras.StatelessScope(), _watched(program.objective, found.append):
            program.forward(part, training=True)
        if found:
            return list(dict.fromkeys(found))
    return []


def _parts(program: Program, batch: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the microbatches."""
    for i in range(program.microbatches):
        yield {
            name: keras.ops.convert_to_tensor(np.split(x, program.microbatches)[i])
            for name, x in batch.items()
        }


@contextlib.contextmanager
def _watched(objective: Any, tell: Callable[[str], None]) -> Iterator[None]:
    """Look at what every layer of an objective returns while the body runs."""
    layers = list(objective._flatten_layers())
    for layer in layers:
        layer.call = _looking(layer, tell)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _looking(layer: Any, tell: Callable[[str], None]) -> Callable[..., Any]:
    """Return a layer's call that tells the layer's path where an output is not finite."""
    call = layer.call

    def look(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        if not all(map(_is_finite, keras.tree.flatten(outputs))):
            tell(layer.path)
        return outputs

    return look


def _is_finite(x: Any) -> bool:
    """Tell whether a tensor is finite; what is none, or has no value yet, counts as finite."""
    try:
        array = cluster.host_copy(x) if keras.ops.is_tensor(x) else np.zeros(0)
    except (TypeError, NotImplementedError):
        return True
    if array.dtype.kind in "iub":
        return True
    return bool(np.isfinite(array.astype("float32", copy=False)).all())
