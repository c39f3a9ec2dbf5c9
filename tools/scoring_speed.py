"""Requests per second of a run's scoring and of lm-evaluation-harness with transformers, in turn.

Usage: python tools/scoring_speed.py RUN EXPORT 64, with a run folder, its folder from `lm export`,
and the number of questions of each kind. Needs the extras `eval` and `parity`, and accelerate.
"""

import sys
from functools import partial

sys.path.pop(0)  # a file in tools/ has the name of a standard module

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lm.bench import scoring
from lm.cli import output
from lm.inference.harness import SeqLM


def scores(model, pairs, **settings):
    """Returns the log-likelihoods of pairs of texts."""
    asked = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    return model.loglikelihood(asked, **settings)


run, export, limit = sys.argv[1:]
peer = partial(scores, HFLM(export, device="cpu", batch_size=16), disable_tqdm=True)
scorers = {"ours": partial(scores, SeqLM(run, batch_size=16)), "transformers": peer}
rows = [scoring.row(kind, scorers, limit=int(limit), windows=3) for kind in scoring.SETS]
output.print_table(scoring.HEADERS, rows)
