"""Training: the step loop, its run folder, its logs, and how it ends and goes on."""

from lm.train.root import train

__all__ = ["train"]
