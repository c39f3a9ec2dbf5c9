"""Experiments of many runs of `lm train`: each in a process of its own, resumable."""
