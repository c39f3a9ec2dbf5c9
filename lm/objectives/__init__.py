"""Objectives: a loss over a model, as sums. `objective` has their interface, other files a loss."""
