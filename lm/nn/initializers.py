"""Initializers, made by factories that are called once per variable.

A Keras initializer draws its seed when it is created: shared by two variables of the same shape it
would give both the same values. So layers take factories, and `initializer` calls them.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras

from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor

Initializer: TypeAlias = str | Callable[[], Any]
"""The name of a Keras initializer, or a factory of one."""


def initializer(factory: Initializer) -> Any:
    """Returns a fresh Keras initializer from its name or a factory.

    Layers call it in their constructors, while the scope of their gin bindings is active.
    """
    return keras.initializers.get(factory) if isinstance(factory, str) else factory()


@part
class DepthScaledNormal(keras.initializers.RandomNormal):
    """Normal with standard deviation `stddev / sqrt(2 · num_layers)`.

    GPT-2 uses it for the two projections that write to the residual stream, so that the variance of
    the stream does not grow with depth.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    def __init__(self, *, stddev: float, num_layers: int) -> None:
        super().__init__(stddev=stddev / (2 * num_layers) ** 0.5)


@part
class OrthogonalGates(keras.initializers.Initializer):
    """An orthogonal matrix for each gate, side by side: kernels [D, gates · F].

    Args:
        gates: number of gates; 4 in an LSTM.

    Example:
        >>> _, forget = keras.ops.split(OrthogonalGates(gates=2)((3, 6)), 2, axis=1)
        >>> np.allclose(keras.ops.matmul(forget, keras.ops.transpose(forget)), np.eye(3), atol=1e-6)
        True

    Source: Saxe et al. 2014 (https://arxiv.org/abs/1312.6120); for each gate in the release of Ha
    et al. 2017 (https://arxiv.org/abs/1609.09106).
    """

    def __init__(self, *, gates: PositiveInt = 4) -> None:
        self.each = [keras.initializers.Orthogonal() for _ in range(gates)]

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        """Returns the initial values."""
        one = (shape[0], shape[1] // len(self.each))
        return keras.ops.concatenate([init(one, dtype=dtype) for init in self.each], axis=1)


@part
class CurrentFirst(keras.initializers.Initializer):
    """1/2 for the current position, 1/(2k) for each of the k - 1 before: taps [k, ...] of a filter.

    >>> print(np.asarray(CurrentFirst()((2, 1))))
    [[0.5 ]
     [0.25]]

    Source: So et al. 2021 (https://arxiv.org/abs/2109.08668), its release.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        """Returns the initial values."""
        taps = keras.ops.full(shape, 0.5 / shape[0], dtype=dtype)
        return keras.ops.concatenate([keras.ops.full_like(taps[:1], 0.5), taps[1:]], axis=0)


@part
class WidthScaledUniform(keras.initializers.RandomUniform):
    """Uniform in ±scale / D for a table [N, D].

    Args:
        width: D.
        scale: 1/2 in word2vec.

    Source: Mikolov et al. 2013, the code of https://arxiv.org/abs/1310.4546.
    """

    def __init__(self, *, width: int, scale: float = 0.5) -> None:
        super().__init__(minval=-scale / width, maxval=scale / width)
