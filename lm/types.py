"""Type aliases that say more than `Any`: Keras' tensors have no static type."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any
"""A tensor of the current engine or a NumPy array: what `keras.ops` takes and returns."""

Tree: TypeAlias = Any
"""Tensors in nested tuples, lists and dicts."""

Shape: TypeAlias = tuple[int, ...]

Layer: TypeAlias = Any
"""A Keras layer."""

Activation: TypeAlias = Callable[[Tensor], Tensor]
"""An elementwise function, such as `keras.activations.relu`."""

Training: TypeAlias = bool | None
"""Whether a layer is training; for None Keras takes the value of the enclosing layer."""

Features: TypeAlias = Mapping[str, Tensor]
"""The inputs of a model by name: `decoder_input_tokens`, `decoder_segment_ids`, …"""

Batch: TypeAlias = dict[str, np.ndarray]
"""Features as NumPy arrays, on the host."""
