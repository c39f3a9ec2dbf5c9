"""Rewrites the golden files of tests/golden from their references; review the diff as code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.golden import huggingface, trees

if __name__ == "__main__":
    huggingface.write()
    trees.write()
