"""Build a tokenizer: `python tools/build_tokenizer.py FLAGS` is `lm tokenizer train FLAGS`.

Example:
    python tools/build_tokenizer.py --gin_file=tokenizers/python_docs_4k/recipe.gin
"""

import sys

from lm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["tokenizer", "train", *sys.argv[1:]]))
