"""Batches: streams of examples, windows over them, one exact pass, saved positions."""
