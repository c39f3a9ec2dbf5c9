"""`lm eval`: perplexities, bits per byte and a task's own metrics on a split."""

import argparse
import json
from typing import TYPE_CHECKING

from lm.cli import flags, output, run_flags, suites
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.data.evaluation.label_metrics import Confusion
    from lm.inference.evaluate import EvaluationResult

HELP = "evaluate a trained model on a task"
EXAMPLE = """examples:
  lm eval --workdir=/tmp/run
  lm eval --workdir=/tmp/run --task=multi30k_ende --split=test --gin_file=decode/beam.gin
  lm eval --workdir=/tmp/run --checkpoint=best --gin.evaluate.limit=100 --json
  lm eval --workdir=/tmp/run --weights=int8
  lm eval --workdir=/tmp/run --suite=commonsense --log_samples

Texts and metrics are written to WORKDIR/inference_eval/<task>/; of a classifier also the scores of
each label and a confusion matrix. Settings are those of evaluate.evaluate (batch_size, limit) and,
for generated texts, of generate.generate.

With --weights=int8 or bfloat16 the weights are rounded; the output then also has the change of the
perplexity, the share of unchanged greedy tokens, and the speed of both.

A suite is a set of zero-shot tasks (`lm list suites`). Metrics with standard errors are written to
WORKDIR/zero_shot/; `lm results compare` compares those of two runs. Settings are those of
suite.evaluate_suite (shots, seed, limit, batch_size) and, for generated texts, of
generate.generate, but for max_new_tokens, which is the question set's."""

_MAX_LABELS = 20  # a wider table cannot be read; --json prints all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    run_flags.add_weights(parser)
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="task or mixture to evaluate on (default: what the run was trained on)",
    )
    parser.add_argument("--split", metavar="NAME", help="split of the task (default: validation)")
    run_flags.add_ensemble(parser)
    suites.add_arguments(parser)
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes and prints."""
    if args.suite and (args.task or args.split):
        raise ConfigError("--suite has questions of its own: leave out --task and --split")
    if args.suite:
        return suites.run(args)
    flags.refuse_misspelt_task(args, args.task, first=flags.run_config(args.workdir))
    from lm.inference.evaluate import write_result

    loaded = run_flags.load(args)
    settings = {"split": args.split} if args.split else {}
    evaluate = loaded.evaluate if args.weights == "float32" else loaded.evaluate_rounding
    for found in evaluate(args.task, **settings):
        write_result(found, loaded.workdir)
        if args.json:
            print(json.dumps(found.row(), ensure_ascii=False))
        else:
            _show(found)
    return 0


def _show(found: "EvaluationResult") -> None:
    """Prints the metrics of a task as a table, with the metadata below."""
    rows = [
        [name, value] for name, value in found.metrics.items() if isinstance(value, int | float)
    ]
    output.print_table(
        [f"{found.metadata['task']} {found.metadata['split']}", ""],
        [
            [name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}"]
            for name, value in rows
        ],
    )
    if found.confusion:
        _show_labels(found.confusion)
    notes = {name: value for name, value in found.metrics.items() if isinstance(value, str)}
    for name, value in {**notes, **found.metadata}.items():
        if name not in ("task", "split"):
            print(f"  {name}: {value}")
    print()


def _show_labels(found: "Confusion") -> None:
    """Prints precision, recall and F1 of each label, and the confusion matrix."""
    print()
    output.print_table(
        ["label", "precision", "recall", "f1", "examples"],
        [[s.label, *(f"{x:.2f}" for x in s[1:4]), s.examples] for s in found.scores()],
    )
    print()
    if len(found.names) <= _MAX_LABELS:
        rows = zip(found.names, found.counts.tolist(), strict=True)
        output.print_table(
            ["label \\ predicted", *found.names], [[name, *counts] for name, counts in rows]
        )
        print()
