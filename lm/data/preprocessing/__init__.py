"""SeqIO preprocessors: text pairs, masking and denoising, classification."""
