"""Folders of other libraries, read and written: Hugging Face by family, word2vec files."""
