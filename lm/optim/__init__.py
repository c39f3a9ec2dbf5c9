"""Update rules, learning-rate schedules, and the optimizer that the engines use."""

from lm.optim.adafactor import Adafactor, adafactor
from lm.optim.adamw import adamw
from lm.optim.optimizer import Optimizer

__all__ = ["Adafactor", "Optimizer", "adafactor", "adamw"]
