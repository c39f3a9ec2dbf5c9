"""What ELECTRA's generator shares with its discriminator, and how large it is.

Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), section 3.2.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from lm.nn.branch import Factory, make
from lm.parts import part, value

Tie: TypeAlias = Callable[[Any, Factory], Any]
"""The discriminator and the factory of a generator -> the generator."""


@value
def fraction_of(*, size: int, fraction: float) -> int:
    """Returns a size of the generator from the same size of the discriminator.

    >>> [fraction_of(size=size, fraction=0.25) for size in (256, 1024, 4, 2)]
    [64, 256, 1, 1]
    """
    return max(1, round(size * fraction))


@part
def tie_embedder(discriminator: Any, generator: Factory) -> Any:
    """One embedder, two encoders: ELECTRA."""
    return make(
        functools.partial(generator, embedder=existing(discriminator.embedder)), "generator"
    )


@part
def tie_nothing(discriminator: Any, generator: Factory) -> Any:
    """Two models with weights of their own."""
    del discriminator
    return make(generator, "generator")


@part
def tie_all(discriminator: Any, generator: Factory) -> Any:
    """One encoder with two heads."""
    shared = {
        "embedder": existing(discriminator.embedder),
        "encoder": existing(discriminator.encoder),
    }
    return make(functools.partial(generator, **shared), "generator")


def existing(layer: Any) -> Factory:
    """Returns a factory of a layer that there is already, under the name that it has."""

    def factory(name: str) -> Any:
        del name
        return layer

    return factory
