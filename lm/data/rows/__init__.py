"""Feature converters: from the examples of a task to rows of a model's features."""
