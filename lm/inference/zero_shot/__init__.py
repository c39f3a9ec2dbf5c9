"""Evaluation of a model on tasks that it was not trained on, by its probabilities and texts."""
