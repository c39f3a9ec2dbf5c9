"""Names for what `Any` would leave to guess: Keras' tensors have no static type of their own."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any
"""A tensor of the engine that runs, or a NumPy array: what `keras.ops` takes and returns."""

Tree: TypeAlias = Any
"""Tensors in nested tuples, lists and dicts."""

Shape: TypeAlias = tuple[int, ...]

Layer: TypeAlias = Any
"""A Keras layer."""

Activation: TypeAlias = Callable[[Tensor], Tensor]
"""A function of every element by itself, such as `keras.activations.relu`."""

Training: TypeAlias = bool | None
"""Whether a layer trains; Keras fills in None from the layer around it."""

Features: TypeAlias = Mapping[str, Tensor]
"""What a model reads, by name: `decoder_input_tokens`, `decoder_segment_ids`, …"""

Batch: TypeAlias = dict[str, np.ndarray]
"""Features as NumPy arrays, on the host."""
