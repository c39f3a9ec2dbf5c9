"""Search: texts from the `start` and `step` of a model, in one compiled loop with caches."""
