"""Step time, tokens per second and peak memory of models of equal size, from short to long rows.

    python tools/lengths.py --lengths=512,1024,2048,4096,8192
    KERAS_BACKEND=jax python tools/lengths.py --dtype_policy=mixed_bfloat16 --tokens=65536
Every batch has the same number of tokens; a model that runs out of memory at a length is left out.
"""

import argparse
import sys

sys.path.pop(0)  # a file in tools/ has the name of a standard module

from lm import quiet
from lm.bench.lengths import HEADERS, cells, row
from lm.cli import output

quiet.install()  # in the process of every cell, too
MODELS = "transformer", "transformer_plus_plus", "flash_quad", "flash"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gin_file", nargs="+", default=[f"bench/lengths/{m}.gin" for m in MODELS])
    parser.add_argument("--lengths", default="512,1024,2048,4096,8192")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--dtype_policy", default="float32")
    given = vars(parser.parse_args())
    lengths = [int(length) for length in given.pop("lengths").split(",")]
    found = filter(None, cells(given.pop("gin_file"), lengths, **given))
    output.print_table(HEADERS, list(map(row, found)))
