"""`lm summary`: parameters by module, FLOPs per token and memory, without allocating the model."""

import argparse
import json
import os

from lm.cli import flags
from lm.errors import ConfigError

HELP = "count a model's parameters, FLOPs and memory without allocating it"
EXAMPLE = """example:
  lm summary --gin_file=models/t5_1_1/xxl.gin --length=512
  lm summary --mesh --gin_file=models/t5_1_1/xxl.gin --gin_file=optim/adafactor.gin \\
    --gin_file=mesh/data_model.gin --gin.DATA_DEVICES=2 --gin.MODEL_DEVICES=8 --device_memory=32"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    flags.add_gin(parser)
    parser.add_argument(
        "--length",
        type=flags.above_zero(int),
        default=512,
        help="tokens per row, for the FLOPs (default: 512)",
    )
    parser.add_argument(
        "--variables", action="store_true", help="also list the shape of every variable"
    )
    parser.add_argument(
        "--mesh",
        action="store_true",
        help="print the memory per device on MESH (see gin/mesh), with the state of OPTIMIZER",
    )
    parser.add_argument(
        "--batch_size",
        type=flags.above_zero(int),
        default=32,
        help="with --mesh: rows of the whole batch (default: 32)",
    )
    parser.add_argument(
        "--device_memory",
        type=flags.above_zero(float),
        metavar="GB",
        help="with --mesh: memory of a device; print whether a step fits",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the summary of the macro MODEL."""
    if args.mesh:
        return _run_mesh(args)
    model = flags.load(args, roots=["MODEL"]).value("MODEL")

    from lm.summary import summarise, table

    summary = summarise(model, length=args.length)
    record = summary._asdict()
    shapes = record.pop("shapes")
    if args.json:
        print(json.dumps({**record, "shapes": shapes} if args.variables else record))
        return 0
    if args.variables:
        print("\n".join(f"{path}  {shape}" for path, shape in shapes.items()), end="\n\n")
    print(table(summary))
    print(
        f"\n{summary.weights_bytes / 2**20:,.1f} MiB of weights; "
        f"{summary.flops_per_token / 1e6:,.1f} MFLOP per token forward at length {summary.length}"
    )
    return 0


def _run_mesh(args: argparse.Namespace) -> int:
    """Print the bytes per device of a training step."""
    # Meshes need JAX; nothing here needs a device.
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    config = flags.load(args, roots=["MODEL", "MESH", "OPTIMIZER"])
    if not config.has("MESH"):
        raise ConfigError(
            "--mesh needs one: --gin_file=mesh/data_model.gin, or another of gin/mesh"
        )

    from lm.mesh.device_memory import device_memory, table, verdict

    found = device_memory(
        config.value("MESH")(),
        model=config.value("MODEL"),
        optimizer=config.value("OPTIMIZER") if config.has("OPTIMIZER") else None,
        rows=args.batch_size,
        length=args.length,
    )
    answer = None if args.device_memory is None else verdict(found, args.device_memory)
    if args.json:
        print(json.dumps({**found._asdict(), "verdict": answer}))
        return 0
    print(f"{found.devices} devices, {found.rows} of {args.batch_size} rows on each\n")
    print(table(found))
    if answer:
        print(f"\n{answer}")
    return 0
