"""Experiments with many runs of `lm train`, each in its own process and resumable."""
