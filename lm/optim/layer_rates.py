"""Layerwise learning rates, decreasing from the head to the embeddings."""

import re
from collections.abc import Sequence
from typing import Any

from keras import ops

from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeInt
from lm.types import Tensor

# As in stack/layer_3_1/…, the second residual of layer 3; with a block number before it in Funnel.
LAYER = re.compile(r"^.*?layer(_\d+)+(?=_\d+/)")


@part
class ByDepth:
    """Scales the learning rate of weights of depth d by δ^(N + 2 - d), for N layers.

    Embeddings, and all else before the first layer, have depth 0; layer l = 0 … N-1 has depth
    l + 1; the head, and all else after the last layer, N + 2.

    Args:
        decay: δ; ELECTRA uses 0.8 for its small and base models and 0.9 for the large one; 1 is
            the same rate for all.
        unfreeze_steps: number of updates after which one more layer is trained, from the head down;
            0 trains all layers from the start.

    Raises:
        UserError: no weight belongs to a layer, or δ is not in (0, 1].

    Example:
        >>> rates = ByDepth(decay=0.5)
        >>> rates(["embedding/table", "stack/layer_0_0/kernel", "head/kernel"], 0)
        [0.125, 0.25, 1.0]

    Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), appendix B; gradual unfreezing:
    Howard and Ruder 2018 (https://arxiv.org/abs/1801.06146), section 3.3.
    """

    def __init__(self, *, decay: float, unfreeze_steps: NonNegativeInt = 0) -> None:
        if not 0 < decay <= 1:
            raise UserError(f"layer_rates.ByDepth.decay = {decay}: must be above 0 and at most 1")
        self.decay = decay
        self.unfreeze_steps = unfreeze_steps

    def __call__(self, paths: Sequence[str], step: Tensor) -> list[Any]:
        """Returns the multiplier of each weight at update `step`."""
        found = depths(paths)
        below = [max(found) - depth for depth in found]  # N + 2 - d
        rates = [self.decay**number for number in below]
        if not self.unfreeze_steps:
            return rates
        # The layer next to the head is 2 below it: no layer has depth N + 1.
        starts = [max(number - 1, 0) * self.unfreeze_steps for number in below]
        return [
            rate * ops.cast(step >= start, "float32")
            for rate, start in zip(rates, starts, strict=True)
        ]


def depths(paths: Sequence[str]) -> list[int]:
    """Returns the depth of each weight, in the order in which a model has them.

    Weights between two layers, such as the final norm of an encoder, have the depth of the layer
    before. Layers of several stacks are numbered consecutively.

    Raises:
        UserError: no path names a layer.

    Example:
        >>> depths(["table", "layer_0_0/k", "layer_0_1/k", "layer_1_0/k", "norm", "head/k"])
        [0, 1, 1, 2, 4, 4]
    """
    matches = [LAYER.search(path) for path in paths]
    layers = dict.fromkeys(match.group() for match in matches if match)
    if not layers:
        raise UserError(f"layer_rates: no weight belongs to a layer; paths are like {paths[0]}")
    number = {layer: depth for depth, layer in enumerate(layers, 1)}
    here = [number[match.group()] if match else 0 for match in matches]
    last = max(i for i, depth in enumerate(here) if depth)
    for i in range(1, last):
        here[i] = here[i] or here[i - 1]
    return [*here[: last + 1], *[len(layers) + 2] * (len(paths) - last - 1)]
