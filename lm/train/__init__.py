"""Training: the step loop, its run folder and logs, and how a run stops and resumes."""

from lm.train.root import train

__all__ = ["train"]
