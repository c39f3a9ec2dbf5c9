"""Documents in words, and the rows of paragraph vectors: counts, nodes, windows, draws, batches."""
