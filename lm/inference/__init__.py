"""Using a trained model: generation, scores, predictions, evaluation; `run` loads it."""
