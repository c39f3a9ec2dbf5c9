"""A user's own files as tasks, from a gin file."""
