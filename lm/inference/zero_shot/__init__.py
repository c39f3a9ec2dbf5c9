"""Zero-shot evaluation of a model by its probabilities and generated texts."""
