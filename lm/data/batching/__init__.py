"""Batches: streams of examples, windows of tokens, exact passes for evaluation, positions."""
