"""Files, their validated readers, and what is kept of them: records and tokens."""
