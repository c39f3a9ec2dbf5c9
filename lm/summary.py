"""The size of a model: parameters by module, FLOPs per token, memory."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras

from lm.abstract import on_shapes
from lm.engines.flops import matmul_flops
from lm.models.model import token_features
from lm.nn.sparse_table import learned
from lm.nn.stack import abridged, unabridged
from lm.types import Features

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2, "int32": 4, "uint32": 4}


class Summary(NamedTuple):
    """The size of a model.

    Attributes:
        parameters: number of trainable parameters.
        flops_per_token: of a forward pass, 2 per multiply-add, divided by the output tokens.
        length: tokens on each side for which `flops_per_token` was counted.
        weights_bytes: of the trainable variables in their own dtypes.
        modules: parameters by module, in the order of the model.
        shapes: path and shape of every trainable variable.
    """

    parameters: int
    flops_per_token: int
    length: int
    weights_bytes: int
    modules: dict[str, int]
    shapes: dict[str, tuple[int, ...]]


def summarise(model: Callable[[], Any], *, length: int) -> Summary:
    """Counts without allocating the model; of repeated layers only one is built.

    Args:
        model: factory of the model.
        length: tokens per sequence, on both sides of an encoder-decoder.
    """
    with abridged(), on_shapes("MODEL"):
        built = model()
        flops = matmul_flops(built, getattr(built, "row", token_row)(length))
        variables = dict(unabridged((v.path, v) for v in learned(built)))
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    return Summary(
        parameters=sum(map(math.prod, shapes.values())),
        flops_per_token=flops // length,
        length=length,
        weights_bytes=sum(math.prod(v.shape) * BYTES[v.dtype] for v in variables.values()),
        modules=parameters_by_module(shapes.items()),
        shapes=shapes,
    )


def token_row(length: int) -> Features:
    """Returns symbolic features for a model of tokens; other models have a method `row`."""
    return token_features(keras.KerasTensor((1, length), "int32"))


def parameters_by_module(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, int]:
    """Adds up parameters by module, layers of a stack together.

    >>> parameters_by_module([("m/decoder/layer_0_1/feed_forward/hidden/kernel", (2, 3)),
    ...                       ("m/decoder/layer_1_1/feed_forward/hidden/kernel", (2, 3))])
    {'decoder/feed_forward': 12}
    """
    counts: Counter[str] = Counter()
    for path, shape in shapes:
        parts = [part for part in path.split("/")[1:-1] if not part.startswith("layer_")]
        counts["/".join(parts[:2])] += math.prod(shape)
    return dict(counts)


def table(summary: Summary) -> str:
    """Returns the parameters by module as text, the total last."""
    width = max(len(module) for module in [*summary.modules, "parameters"])
    rows = [f"{module:<{width}}  {n:>16,}" for module, n in summary.modules.items()]
    total = [f"{'parameters':<{width}}  {summary.parameters:>16,}"]
    return "\n".join([*rows, "-" * (width + 18), *total])
