"""Update rules, learning-rate schedules, and the optimizer that the engines use."""

from lm.optim.adafactor import Adafactor, adafactor
from lm.optim.adagrad import adagrad
from lm.optim.adamw import adamw
from lm.optim.optimizer import Optimizer
from lm.optim.sgd import sgd

__all__ = ["Adafactor", "Optimizer", "adafactor", "adagrad", "adamw", "sgd"]
