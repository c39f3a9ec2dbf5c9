"""Reading and writing other libraries' files: Hugging Face folders by family, word2vec files."""
