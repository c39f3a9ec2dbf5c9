"""`python -m lm` is the console script `lm`."""

import sys

from lm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
