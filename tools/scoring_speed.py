"""Requests per second of a run's scoring beside lm-evaluation-harness with transformers, in turn.

    lm train --gin_file=bench/scoring.gin --workdir=runs/gpt2
    lm export --workdir=runs/gpt2 --to=runs/gpt2_exported
    python tools/scoring_speed.py runs/gpt2 runs/gpt2_exported 64
The last number is that of the questions. Needs the extras `eval` and `parity`, and accelerate.
"""

import sys

sys.path.pop(0)  # a file in tools/ has the name of a standard module

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lm.bench import scoring
from lm.cli import output
from lm.inference.harness import SeqLM


def asked(pairs):
    return [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(pairs)]


if __name__ == "__main__":
    workdir, folder, limit = sys.argv[1:]
    ours, theirs = SeqLM(workdir, batch_size=16), HFLM(folder, device="cpu", batch_size=16)
    scorers = {
        "ours": lambda x: ours.loglikelihood(asked(x)),
        "transformers": lambda x: theirs.loglikelihood(asked(x), disable_tqdm=True),
    }
    rows = [scoring.row(kind, scorers, limit=int(limit), windows=3) for kind in scoring.SETS]
    output.print_table(scoring.HEADERS, rows)
