"""Weight sharing between ELECTRA's generator and discriminator, and the generator's size.

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
    """Returns a size of the generator, as a fraction of the discriminator's.

    >>> [fraction_of(size=size, fraction=0.25) for size in (256, 1024, 4, 2)]
    [64, 256, 1, 1]
    """
    return max(1, round(size * fraction))


@part
def tie_embedder(discriminator: Any, generator: Factory) -> Any:
    """Shares the embedder, not the encoder: ELECTRA."""
    return make(
        functools.partial(generator, embedder=existing(discriminator.embedder)), "generator"
    )


@part
def tie_nothing(discriminator: Any, generator: Factory) -> Any:
    """Shares nothing."""
    del discriminator
    return make(generator, "generator")


@part
def tie_all(discriminator: Any, generator: Factory) -> Any:
    """Shares the encoder; the two models differ only in their heads."""
    shared = {
        "embedder": existing(discriminator.embedder),
        "encoder": existing(discriminator.encoder),
    }
    return make(functools.partial(generator, **shared), "generator")


def existing(layer: Any) -> Factory:
    """Returns a factory that returns an existing layer."""

    def factory(name: str) -> Any:
        del name
        return layer

    return factory
