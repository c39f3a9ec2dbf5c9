"""Data: from text files to batches of NumPy arrays, by SeqIO tasks and mixtures."""
