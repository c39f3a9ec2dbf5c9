"""A trained model in use: generation, scores, predictions, evaluation; `run` loads one."""
