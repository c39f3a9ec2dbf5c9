"""`lm bench`: tokens per second, achieved FLOP/s and fraction of the machine's matmul peak."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.bench import hlo, processor
from lm.cli import flags, output, profile_table

if TYPE_CHECKING:
    from lm.bench.measure import Sizes

HELP = "measure a model's speed in training, scoring and generation"
EXAMPLE = """example:
  lm bench --gin_file=models/gpt2/small.gin --batch_size=8 --length=128 \\
      --gin.HIDDEN_DIM=256 --gin.INTERMEDIATE_DIM=1024 --gin.NUM_LAYERS=4 --gin.NUM_HEADS=4 \\
      --gin.VOCABULARY_SIZE=8192"""
MACROS = ("OBJECTIVE", "MODEL", "OPTIMIZER", "BATCH_SIZE", "TASK_FEATURE_LENGTHS")
PIPELINE = "lm.data.batching.pipeline.Pipeline"
DATA = ("MIXTURE_OR_TASK_NAME", "TASK_FEATURE_LENGTHS", "FEATURE_CONVERTER")
DEFAULT_BATCH_SIZE, DEFAULT_LENGTH = 8, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    count = flags.above_zero(int)
    flags.add_gin(parser)
    parser.add_argument(
        "--batch_size",
        type=count,
        help="rows per batch (default: BATCH_SIZE of the gin files, else 8)",
    )
    parser.add_argument(
        "--length", type=count, help="tokens per row (default: TASK_FEATURE_LENGTHS, else 128)"
    )
    parser.add_argument(
        "--new_tokens",
        type=count,
        help="tokens to generate for each prompt (default: half the length)",
    )
    parser.add_argument(
        "--beam_size", type=count, default=1, help="width of the beam; 1 is greedy (default: 1)"
    )
    parser.add_argument(
        "--windows",
        type=count,
        default=8,
        help="number of timed windows, whose median is reported (default: 8)",
    )
    parser.add_argument(
        "--against",
        choices=("transformers", "ctranslate2"),
        help="also measure the same model and weights in this library, in alternating windows "
        "(needs the extra `parity`)",
    )
    parser.add_argument(
        "--only",
        choices=("training", "scoring", "generation"),
        help="with --against: measure only this",
    )
    parser.add_argument(
        "--weights",
        choices=("bfloat16", "int8"),
        help="also generate with copies of the kernels in this width, window by window in turn; "
        "with --against, beside the peer (see `lm generate --help`)",
    )
    parser.add_argument(
        "--isa",
        choices=tuple(processor.LIMITS),
        help="let engine and peer use no newer instructions than these",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print where the time of a training step and of a search goes instead: products, "
        "kinds of passes over memory, waiting, page faults; from the engine's own trace",
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints the metrics."""
    if args.isa:
        processor.limit(args.isa)
    with tempfile.TemporaryDirectory() as folder:
        if args.profile:
            hlo.dump_to(Path(folder))
        return _run(args, Path(folder))


def _run(args: argparse.Namespace, folder: Path) -> int:
    """Measures and prints, once the engines may be loaded."""
    config = flags.load(args, roots=MACROS)

    from lm.bench.measure import Sizes

    lengths = _lengths(args, config)
    sizes = Sizes(
        rows=args.batch_size or config.get("BATCH_SIZE", DEFAULT_BATCH_SIZE),
        inputs=lengths["inputs"],
        targets=lengths["targets"],
        new_tokens=args.new_tokens or lengths["targets"] // 2,
        beams=args.beam_size,
        windows=args.windows,
    )
    settings = {
        "objective": _objective(config),
        "optimizer": _optimizer(config),
        "sizes": sizes,
    }
    if args.profile:
        return _profile(args, settings, folder)
    measure = _compare if args.against else _bench
    metrics, rows = measure(args, config, settings)
    machine = {
        "processor": processor.description(),
        "isa": args.isa,
        "versions": processor.versions(),
    }
    if args.json:
        output.print_json(machine | metrics)
    else:
        output.print_table(["", "value"], _machine(machine) + rows)
    return 0


def _machine(machine: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows that say on what the numbers were measured."""
    held = f"; limited to {machine['isa'].upper()}" if machine["isa"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [("processor", machine["processor"] + held), ("versions", versions)]


def _profile(args: argparse.Namespace, settings: dict[str, Any], folder: Path) -> int:
    """Prints where the time of a training step and of a search goes."""
    from lm.bench.profile import profiles

    found = profiles(**settings, folder=folder)
    if args.json:
        output.print_json({name: each.record() for name, each in found.items()})
        return 0
    profile_table.show(found)
    return 0


def _bench(
    args: argparse.Namespace, config: Any, settings: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from lm.bench.measure import bench

    metrics = bench(**settings, data=_data(config, settings["sizes"]))
    rows = _rows(metrics)
    if args.weights and metrics["generation"]:
        metrics["weights"] = _by_weights(args.weights, settings)
        rows += _weights_rows(metrics["weights"])
    return metrics, rows


def _by_weights(weights: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Generates with the model's own weights and with copies, in turn."""
    from lm.bench.by_weights import compare_weights
    from lm.inference.own_weights import copies_of

    model = settings["objective"].model
    copies = {name: copies_of(model, name) for name in ("float32", weights)}
    return compare_weights(model, settings["sizes"], copies=copies, report=_log)


def _weights_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns a line for each width of the weights."""
    return [
        (
            f"generation, weights {name}",
            f"{_rate(speed)} tokens/s; {speed['bytes'] / 2**20:,.1f} MiB of copies; "
            f"{speed['same_tokens']:.1%} of the tokens the same",
        )
        for name, speed in found.items()
    ]


def _data(config: Any, sizes: "Sizes") -> Any:
    """Batches of the task that the gin files name, or None if they name none."""
    if not all(config.has(macro) for macro in DATA):
        return None
    from lm.data.registry import task_registry

    name, lengths, converter = (config.value(macro) for macro in DATA)
    task_registry.find(name)
    return config.configured(PIPELINE)(
        mixture_or_task_name=name,
        lengths={feature: getattr(sizes, feature) for feature in lengths},
        converter=converter,
        batch_size=sizes.rows,
        vocabulary=config.get("VOCABULARY"),
        seed=0,
    )


def _compare(
    args: argparse.Namespace, config: Any, settings: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from lm.bench.peers import compare_with_peer

    del config
    metrics = compare_with_peer(
        **settings,
        against=args.against,
        only=args.only,
        weights=args.weights or "float32",
        report=_log,
    )
    return metrics, _compared(metrics)


def _log(line: str) -> None:
    """Shows what is done, beside the results on standard output."""
    print(line, file=sys.stderr, flush=True)


def _lengths(args: argparse.Namespace, config: Any) -> dict[str, int]:
    stated = config.get("TASK_FEATURE_LENGTHS", {})
    default = max(stated.values(), default=DEFAULT_LENGTH)
    if args.length:
        return {"inputs": args.length, "targets": args.length}
    return {"inputs": stated.get("inputs", default), "targets": stated.get("targets", default)}


def _objective(config: Any) -> Any:
    from lm.objectives.token_prediction import TokenPrediction
    from lm.wall import wall

    with wall("OBJECTIVE"):
        if config.has("OBJECTIVE"):
            return config.value("OBJECTIVE")()
        return TokenPrediction(model=config.value("MODEL"))


def _optimizer(config: Any) -> Any:
    from lm.optim import adamw

    return config.value("OPTIMIZER")() if config.has("OPTIMIZER") else adamw(learning_rate=1e-4)


def _rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    training, peaks = metrics["training"], metrics["matmul_flops_per_second"]
    best = max(peaks, key=lambda library: peaks[library])
    rows = [
        ("engine", metrics["engine"]),
        ("batch", f"{metrics['batch_size']} rows, lengths {metrics['lengths']}"),
        ("parameters", f"{metrics['parameters']:,}"),
        ("forward FLOPs per token", f"{metrics['flops_per_token']:,}"),
        ("training tokens/s", _rate(training)),
        ("training GFLOP/s", f"{metrics['training_flops_per_second'] / 1e9:,.1f}"),
        ("matmul peak GFLOP/s", f"{peaks[best] / 1e9:,.1f} ({best})"),
        ("share of matmul peak", f"{metrics['share_of_matmul_peak']:.1%}"),
        ("scoring tokens/s", _rate(metrics["scoring"])),
        ("compile and first step", f"{training['first_call_seconds']:.1f} s"),
        ("peak memory", f"{metrics['peak_memory_bytes'] / 2**20:,.0f} MiB"),
    ]
    if metrics["input_wait"] is not None:
        rows.insert(5, ("waiting for data", f"{metrics['input_wait']:.1%} of a training step"))
    if metrics["generation"]:
        rows.insert(-2, ("generation tokens/s", _rate(metrics["generation"])))
    return rows


def _rate(speed: dict[str, float]) -> str:
    low, high = speed["slowest"], speed["fastest"]
    return f"{speed['tokens_per_second']:,.0f} (windows {low:,.0f} to {high:,.0f})"


def _compared(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns one line for our speed and for each of the peer's."""
    lines = [("parameters of each", f"{metrics['parameters']:,}")]
    for work in ("training", "scoring", "generation"):
        found = metrics.get(work, {"speeds": {}})
        for name, speed in found["speeds"].items():
            who = name if name == "ours" else f"{metrics['against']} {name}"
            line = f"{_rate(speed)} tokens/s"
            if name in found["ratios"]:
                line += f"; ours {found['ratios'][name]:.2f} times as fast"
            line += f"; compiled in {found['compile_seconds'][name]:.1f} s"
            if name in found.get("first_loss", {}):
                line += f"; first loss {found['first_loss'][name]:.4f}"
            if name in found.get("same_tokens", {}):
                line += f"; {found['same_tokens'][name]:.1%} of the tokens the same"
            lines.append((f"{work}, {who}", line))
    return lines
