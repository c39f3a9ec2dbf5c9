"""Data files, readers that validate them, and caches of records and tokens."""
