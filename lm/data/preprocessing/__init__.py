"""SeqIO preprocessors: pairs of texts, masked and corrupted ones, classification."""
