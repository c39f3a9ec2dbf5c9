"""Zero-shot evaluation of a run: `python tools/zero_shot_eval.py FLAGS` is `lm eval FLAGS`.

python tools/zero_shot_eval.py --workdir=runs/base --suite=commonsense --log_samples
"""

import sys

from lm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
