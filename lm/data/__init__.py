"""Data: from text files to batches of NumPy arrays, through SeqIO tasks and mixtures."""
