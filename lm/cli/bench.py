"""`lm bench`: tokens per second, achieved FLOP/s and share of the machine's matmul peak."""

import argparse
from typing import Any

from lm.cli import flags, output

HELP = "measure a model's speed in training, scoring and generation"
EXAMPLE = """example:
  lm bench --gin_file=models/gpt2/small.gin --batch_size=8 --length=128 \\
      --gin.HIDDEN_DIM=256 --gin.INTERMEDIATE_DIM=1024 --gin.NUM_LAYERS=4 --gin.NUM_HEADS=4 \\
      --gin.VOCABULARY_SIZE=8192"""
MACROS = ("OBJECTIVE", "MODEL", "OPTIMIZER", "BATCH_SIZE", "TASK_FEATURE_LENGTHS")
DEFAULT_BATCH_SIZE, DEFAULT_LENGTH = 8, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    flags.add_gin(parser)
    parser.add_argument("--batch_size", type=int, help="default: BATCH_SIZE, else 8")
    parser.add_argument(
        "--length", type=int, help="tokens per row; default: TASK_FEATURE_LENGTHS, else 128"
    )
    parser.add_argument("--windows", type=int, default=8, help="timed windows (default 8)")
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    config = flags.load(args, roots=["MODEL"])

    from lm.bench.measure import bench

    lengths = _lengths(args, config)
    figures = bench(
        objective=_objective(config),
        optimizer=_optimizer(config),
        rows=args.batch_size or _value(config, "BATCH_SIZE", DEFAULT_BATCH_SIZE),
        inputs=lengths["inputs"],
        targets=lengths["targets"],
        windows=args.windows,
    )
    if args.json:
        output.print_json(figures)
    else:
        output.print_table(["", "figure"], _rows(figures))
    return 0


def _value(config: Any, macro: str, default: Any) -> Any:
    return config.value(macro) if config.has(macro) else default


def _lengths(args: argparse.Namespace, config: Any) -> dict[str, int]:
    stated = _value(config, "TASK_FEATURE_LENGTHS", {})
    longest = max(stated.values(), default=DEFAULT_LENGTH)
    if args.length:
        return {"inputs": args.length, "targets": args.length}
    return {"inputs": stated.get("inputs", longest), "targets": stated.get("targets", longest)}


def _objective(config: Any) -> Any:
    from lm.nn.branch import make
    from lm.objectives.token_prediction import TokenPrediction

    if config.has("OBJECTIVE"):
        return make(config.value("OBJECTIVE"))
    return TokenPrediction(model=config.value("MODEL"))


def _optimizer(config: Any) -> Any:
    from lm.nn.branch import make
    from lm.optim import adamw

    return make(config.value("OPTIMIZER")) if config.has("OPTIMIZER") else adamw(learning_rate=1e-4)


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    training, peaks = figures["training"], figures["matmul_flops_per_second"]
    best = max(peaks, key=lambda library: peaks[library])
    rows = [
        ("engine", figures["engine"]),
        ("batch", f"{figures['batch_size']} rows, lengths {figures['lengths']}"),
        ("parameters", f"{figures['parameters']:,}"),
        ("forward FLOPs per token", f"{figures['flops_per_token']:,}"),
        ("training tokens/s", _rate(training)),
        ("training GFLOP/s", f"{figures['training_flops_per_second'] / 1e9:,.1f}"),
        ("matmul peak GFLOP/s", f"{peaks[best] / 1e9:,.1f} ({best})"),
        ("share of matmul peak", f"{figures['share_of_matmul_peak']:.1%}"),
        ("scoring tokens/s", _rate(figures["scoring"])),
        ("compile and first step", f"{training['first_call_seconds']:.1f} s"),
        ("peak memory", f"{figures['peak_memory_bytes'] / 2**20:,.0f} MiB"),
    ]
    if figures["generation"]:
        rows.insert(9, ("generation tokens/s", _rate(figures["generation"])))
    return rows


def _rate(speed: dict[str, float]) -> str:
    low, high = speed["slowest"], speed["fastest"]
    return f"{speed['tokens_per_second']:,.0f} (windows {low:,.0f} to {high:,.0f})"
