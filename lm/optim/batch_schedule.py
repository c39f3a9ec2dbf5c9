"""Growing batches instead of a decaying learning rate."""

from collections.abc import Callable, Sequence

from keras import ops

from lm.optim.accumulation import Accumulation
from lm.optim.optimizer import Optimizer
from lm.parts import part, value
from lm.ranges import PositiveInt
from lm.types import Tensor


@value
class Growing:
    """Uses `first * factor^i` batches per update after i milestones.

    Milestones are in examples and so independent of the batch size. With `factor = 1` the number is
    constant.

    Args:
        first: initial number of batches per update.
        factor: growth at each milestone; 5 in the paper.
        milestones: in examples.

    Example:
        >>> growing = Growing(factor=5, milestones=[100, 200, 300])
        >>> [128 * int(growing(examples)) for examples in (0, 100, 250, 300)]
        [128, 640, 3200, 16000]

    Source: Smith et al. 2018, https://arxiv.org/abs/1711.00489, section 5.
    """

    def __init__(
        self,
        *,
        first: PositiveInt = 1,
        factor: PositiveInt = 5,
        milestones: Sequence[PositiveInt] = (),
    ) -> None:
        self.sizes = [first * factor**i for i in range(len(milestones) + 1)]
        self.milestones = list(milestones)

    def __call__(self, examples: Tensor) -> Tensor:
        """Returns the number of batches of the next update, int32, after `examples` examples."""
        passed = [ops.cast(examples >= milestone, "int32") for milestone in self.milestones]
        return ops.take(ops.convert_to_tensor(self.sizes, "int32"), sum(passed, 0), axis=0)


@part
def scheduled(
    *, optimizer: Callable[[], Optimizer], batches: Callable[[Tensor], Tensor]
) -> Optimizer:
    """Returns an optimizer that accumulates several batches per update.

    Its learning rate depends on the number of updates, not of batches. With two or more batches per
    update, the gradient noise scale is logged, in examples.

    Args:
        optimizer: factory of the optimizer, such as `sgd.sgd`.
        batches: `Growing`, or another function: examples so far -> batches of the next update.
    """
    made = optimizer()
    made.accumulation = Accumulation(batches)
    return made


def sgd_noise_scale(
    *, learning_rate: float, examples: int, batch_size: int, momentum: float = 0.0
) -> float:
    """Returns `rate (N / B - 1) / (1 - momentum)`, the noise scale of gradient descent.

    Dividing the rate by k and multiplying the batch by k change it equally while B is far below N.

    >>> setting = {"learning_rate": 0.1, "examples": 50_000, "momentum": 0.9}
    >>> round(sgd_noise_scale(**setting, batch_size=128), 1)
    389.6

    Source: Smith, Le 2018, https://arxiv.org/abs/1710.06451, section 5.
    """
    return learning_rate * (examples / batch_size - 1) / (1 - momentum)
