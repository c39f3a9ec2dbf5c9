"""Requests per second of a run's scoring beside lm-evaluation-harness with transformers.

    lm train --gin_file=bench/scoring.gin --workdir=runs/gpt2
    lm export --workdir=runs/gpt2 --to=runs/gpt2_exported
    python tools/scoring_speed.py --workdir=runs/gpt2 --folder=runs/gpt2_exported

The same requests and weights, in turn in one process: every answer of questions after a prompt that
they share, and words after passages of their own. Needs the extras `eval` and `parity`, and
accelerate.
"""

import argparse
import sys
import time

sys.path.pop(0)  # a file in tools/ has the name of a standard module

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lm import quiet
from lm.cli import output
from lm.data.evaluation.questions import Choice, find, with_exemplars
from lm.inference.harness import SeqLM

quiet.install()
SETS = {"shared prompts": ("commonsense_qa", 3), "prompts of their own": ("lambada", 0)}


SILENT = {"transformers": {"disable_tqdm": True}}


def requests(name, *, shots, limit):
    """Returns the requests of the first questions of a set, as the harness makes them."""
    asked = find(name)[0]
    whole = list(asked.questions())
    pairs = [
        pair for one in with_exemplars(whole[:limit], whole, shots, 0) for pair in pairs_of(one)
    ]
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=n)
        for n, pair in enumerate(pairs)
    ]


def pairs_of(question):
    """Returns contexts and continuations of a question."""
    if isinstance(question, Choice):
        answers = [question.delimiter + answer for answer in question.answers]
        return list(zip(question.contexts, answers, strict=True))
    return [(question.context, f" {question.answer}")]


def rates(models, asked, windows):
    """Returns requests per second of each model, window by window in turn; the first compiles."""
    seconds = {name: [] for name in models}
    for _ in range(windows + 1):
        for name, model in models.items():
            started = time.perf_counter()
            model.loglikelihood(asked, **SILENT.get(name, {}))
            seconds[name].append(time.perf_counter() - started)
    return {
        name: sorted(len(asked) / each for each in found[1:]) for name, found in seconds.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--folder", required=True, help="what `lm export` wrote")
    parser.add_argument("--limit", type=int, default=100, help="questions of each set")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--windows", type=int, default=3)
    args = parser.parse_args()
    theirs = HFLM(pretrained=args.folder, device="cpu", dtype="float32", batch_size=args.batch_size)
    models = {"ours": SeqLM(args.workdir, batch_size=args.batch_size), "transformers": theirs}
    rows = []
    for kind, (name, shots) in SETS.items():
        asked = requests(name, shots=shots, limit=args.limit)
        found = rates(models, asked, args.windows)
        medians = {name: each[len(each) // 2] for name, each in found.items()}
        ranges = [
            f"{medians[n]:.1f} ({each[0]:.1f} to {each[-1]:.1f})" for n, each in found.items()
        ]
        ratio = medians["ours"] / medians["transformers"]
        rows.append((kind, f"{name}, {shots} shots", len(asked), *ranges, f"{ratio:.2f}"))
        print(rows[-1], file=sys.stderr)
    headers = ["", "set", "requests", "ours, a second", "transformers, a second", "ratio"]
    output.print_table(headers, rows)
