"""Tasks from a user's own files, defined in a gin file."""
