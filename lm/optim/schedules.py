"""Learning-rate schedules: functions of the number of updates so far (0 at the first update).

Every schedule is a `keras.optimizers.schedules.LearningRateSchedule`, computed in float32 inside
the compiled step. During a warm-up the rate of update t is `peak * (t + 1) / warmup_steps`, so that
the first update is not zero.
"""

import math
from typing import Any, TypeAlias

import keras
from keras import ops

from lm.parts import value
from lm.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt
from lm.types import Tensor

Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


def _float(step: Tensor) -> Tensor:
    """Returns the step as float32 (exact up to 2^24 updates)."""
    return ops.cast(step, "float32")


def _ramp(step: Tensor, warmup_steps: int) -> Tensor:
    """Returns min(1, (step + 1) / warmup_steps); 1 without a warm-up."""
    return ops.minimum(1.0, (step + 1.0) / max(warmup_steps, 1))


def _decay_fraction(step: Tensor, warmup_steps: int, steps: int) -> Tensor:
    """Returns the fraction of the decay: 0 until the end of the warm-up, 1 from `steps` on."""
    return ops.clip((step - warmup_steps) / max(steps - warmup_steps, 1), 0.0, 1.0)


@value
class Constant(Schedule):
    """The same rate at every update; T5 fine-tunes with 0.001.

    Args:
        value: the rate.
    """

    def __init__(self, *, value: NonNegativeFloat) -> None:
        self.value = value

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        return ops.full((), self.value, dtype="float32")


@value
class InverseSquareRoot(Schedule):
    """factor / sqrt(max(step, warmup_steps)): constant at first, then decreasing towards zero.

    Args:
        factor: the numerator; 1 in T5.
        warmup_steps: updates at the constant rate `factor / sqrt(warmup_steps)`; 10,000 in T5.

    Example:
        >>> float(InverseSquareRoot(warmup_steps=100)(0)), float(InverseSquareRoot()(40_000))
        (0.10000000149011612, 0.004999999888241291)

    Source: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.1.2.
    """

    def __init__(
        self, *, factor: NonNegativeFloat = 1.0, warmup_steps: PositiveInt = 10_000
    ) -> None:
        self.factor = factor
        self.warmup_steps = warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        return self.factor * ops.rsqrt(ops.maximum(_float(step), float(self.warmup_steps)))


@value
class Noam(Schedule):
    """factor * hidden_dim^-0.5 * min(t^-0.5, t * warmup_steps^-1.5) with t = step + 1.

    Args:
        hidden_dim: width of the model.
        warmup_steps: updates of linear growth; 4,000 in the paper, 8,000 in Tensor2Tensor.
        factor: 1 in the paper, 2 in Tensor2Tensor.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 3.
    """

    def __init__(
        self,
        *,
        hidden_dim: PositiveInt,
        warmup_steps: PositiveInt = 4000,
        factor: NonNegativeFloat = 1.0,
    ) -> None:
        self.scale = factor * hidden_dim**-0.5
        self.warmup_steps = warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        t = _float(step) + 1.0
        return self.scale * ops.minimum(ops.rsqrt(t), t * self.warmup_steps**-1.5)


@value
def noam_peak(
    *, hidden_dim: PositiveInt, warmup_steps: PositiveInt = 8000, factor: NonNegativeFloat = 2.0
) -> float:
    """Returns the peak rate of `Noam`, for schedules that decay from it otherwise.

    >>> round(noam_peak(hidden_dim=512), 6)
    0.000988
    """
    return factor * hidden_dim**-0.5 * warmup_steps**-0.5


@value
class Linear(Schedule):
    """A straight line from the peak down to the floor, after a warm-up.

    Args:
        peak: the highest rate.
        steps: updates until the floor, counted from the start of training.
        floor: the last rate, kept after `steps`; BERT has 0.
        warmup_steps: updates of linear growth before the decay.

    Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, appendix A.2.
    """

    def __init__(
        self,
        *,
        peak: NonNegativeFloat,
        steps: PositiveInt,
        floor: NonNegativeFloat = 0.0,
        warmup_steps: NonNegativeInt = 0,
    ) -> None:
        self.peak, self.steps, self.floor, self.warmup_steps = peak, steps, floor, warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        step = _float(step)
        decay = 1.0 - _decay_fraction(step, self.warmup_steps, self.steps)
        rate = self.floor + (self.peak - self.floor) * decay
        return rate * _ramp(step, self.warmup_steps)


@value
class Cosine(Schedule):
    """Half a cosine from the peak down to the floor, after a warm-up: a single cycle.

    Args:
        peak: the highest rate.
        steps: updates until the floor, counted from the start of training.
        floor: the last rate, kept after `steps`; GPT-3 and nanoGPT have a tenth of the peak.
        warmup_steps: updates of linear growth before the decay.
        hold_steps: updates at the peak between the two; the Evolved Transformer with Adafactor
            holds the peak and has no warm-up.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, equation 5, one cycle.
    """

    def __init__(
        self,
        *,
        peak: NonNegativeFloat,
        steps: PositiveInt,
        floor: NonNegativeFloat = 0.0,
        warmup_steps: NonNegativeInt = 0,
        hold_steps: NonNegativeInt = 0,
    ) -> None:
        self.peak, self.steps, self.floor, self.warmup_steps = peak, steps, floor, warmup_steps
        self.decay_from = warmup_steps + hold_steps

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        step = _float(step)
        cosine = ops.cos(math.pi * _decay_fraction(step, self.decay_from, self.steps))
        rate = self.floor + 0.5 * (self.peak - self.floor) * (1.0 + cosine)
        return rate * _ramp(step, self.warmup_steps)


@value
class Halving(Schedule):
    """The peak for `hold_steps` updates, then halved, and again every `period` updates.

    Args:
        peak: the rate to begin with; 0.7 in the paper.
        hold_steps: updates at the peak; five epochs in the paper.
        period: updates between two halvings; half an epoch in the paper.

    Example:
        >>> rate = Halving(peak=0.7, hold_steps=10, period=2)
        >>> [round(float(rate(step)), 4) for step in (9, 10, 11, 12, 14)]
        [0.7, 0.35, 0.35, 0.175, 0.0875]

    Source: Sutskever et al. 2014, https://arxiv.org/abs/1409.3215, section 3.4.
    """

    def __init__(
        self, *, peak: NonNegativeFloat, hold_steps: NonNegativeInt, period: PositiveInt
    ) -> None:
        self.peak, self.hold_steps, self.period = peak, hold_steps, period

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        halvings = ops.floor((_float(step) - self.hold_steps) / self.period) + 1.0
        return self.peak * ops.power(0.5, ops.maximum(halvings, 0.0))


@value
class Warmup(Schedule):
    """Another schedule, with its first updates scaled by min(1, (step + 1) / steps).

    Args:
        schedule: factory of the schedule to scale.
        steps: updates of linear growth.
    """

    def __init__(self, *, schedule: Any, steps: PositiveInt) -> None:
        self.schedule = schedule()
        self.steps = steps

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the rate of update `step`."""
        return self.schedule(step) * _ramp(_float(step), self.steps)
