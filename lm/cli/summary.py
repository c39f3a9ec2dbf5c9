"""`lm summary`: parameters by module, FLOPs per token and memory, without allocating the model."""

import argparse
import json
import os
from typing import TYPE_CHECKING

from lm.cli import flags
from lm.errors import ConfigError
from lm.xla_flags import keras_backend

if TYPE_CHECKING:
    from lm.config.parse import Config
    from lm.engines.device_memory import DeviceMemory
    from lm.types import Features

HELP = "count a model's parameters, FLOPs and memory without allocating it"
EXAMPLE = """example:
  lm summary --gin_file=models/t5_1_1/xxl.gin --length=512
  lm summary --mesh --gin_file=models/t5_1_1/xxl.gin --gin_file=optim/adafactor.gin \\
    --gin_file=mesh/data_model.gin --gin.DATA_DEVICES=2 --gin.MODEL_DEVICES=8 --device_memory=32"""

_BATCH_SIZE, _LENGTH = 32, 512
_FEATURES = {
    "encoder_input_tokens": "int32",
    "decoder_input_tokens": "int32",
    "decoder_target_tokens": "int32",
    "decoder_loss_weights": "float32",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    flags.add_gin(parser)
    parser.add_argument(
        "--length",
        type=flags.above_zero(int),
        help="tokens per row, on each side of an encoder-decoder (default: the longest of "
        f"TASK_FEATURE_LENGTHS, else {_LENGTH})",
    )
    parser.add_argument(
        "--variables", action="store_true", help="also list the shape of every variable"
    )
    parser.add_argument(
        "--mesh",
        action="store_true",
        help="print the memory per device of the training step on MESH (see gin/mesh) with "
        "OPTIMIZER, from the compiler: of the run that the gin files say, or else of predicting "
        "--length tokens",
    )
    parser.add_argument(
        "--batch_size",
        type=flags.above_zero(int),
        help=f"with --mesh: rows of the whole batch (default: BATCH_SIZE, else {_BATCH_SIZE})",
    )
    parser.add_argument(
        "--device_memory",
        type=flags.above_zero(float),
        metavar="GB",
        help="with --mesh: memory of a device; print whether a step fits",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the summary of the macro MODEL."""
    if args.mesh:
        return _run_mesh(args)
    config = flags.load(args, roots=["MODEL"])
    model = config.value("MODEL")

    from lm.summary import summarise, table

    summary = summarise(model, length=_length(config, args))
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
    """Prints the bytes per device of a training step."""
    is_on_jax = keras_backend() == "jax"
    # Meshes need JAX; nothing here needs a device.
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    config = flags.load(args, roots=["MODEL", "MESH", "OPTIMIZER", "OBJECTIVE", "lm.train.train"])
    for macro, file in (("MESH", "mesh/data_model.gin"), ("OPTIMIZER", "optim/adafactor.gin")):
        if not config.has(macro):
            raise ConfigError(f"--mesh needs {macro}: --gin_file={file}, or another of its folder")

    from lm.engines.device_memory import table, verdict

    found = _compiled(config, args)
    answer = None if args.device_memory is None else verdict(found, args.device_memory)
    if args.json:
        print(json.dumps({**found._asdict(), "verdict": answer}))
        return 0
    print(table(found))
    if answer:
        print(f"\n{answer}")
    if not is_on_jax:
        print("\nThis is JAX's step: TensorFlow trains on one device.")
    return 0


def _compiled(config: "Config", args: argparse.Namespace) -> "DeviceMemory":
    """Returns the memory of the step that the gin files say, once it is compiled."""
    from functools import partial

    import keras

    from lm.engines.device_memory import device_memory, simulate
    from lm.objectives.token_prediction import TokenPrediction

    mesh = config.value("MESH")()
    simulate(mesh)
    settings = config.arguments("lm.train.train")
    keras.config.set_dtype_policy(settings.get("dtype_policy", "float32"))
    predicts = partial(TokenPrediction, model=config.value("MODEL"))
    return device_memory(
        mesh,
        objective=config.get("OBJECTIVE", predicts),
        optimizer=config.value("OPTIMIZER"),
        features=_rows(config, args),
        microbatches=settings.get("microbatches", 1),
    )


def _rows(config: "Config", args: argparse.Namespace) -> "Features":
    """Returns the shapes of a batch: rows of the run's converter, else of --length tokens."""
    import keras

    length = _length(config, args)
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        name: ((length,), dtype) for name, dtype in _FEATURES.items()
    }
    if config.has("FEATURE_CONVERTER") and config.has("TASK_FEATURE_LENGTHS"):
        from lm.data.rows.converter import row_shapes

        shapes = row_shapes(config.value("FEATURE_CONVERTER"), config.value("TASK_FEATURE_LENGTHS"))
    rows = args.batch_size or config.get("BATCH_SIZE", _BATCH_SIZE)
    return {
        name: keras.KerasTensor((rows, *shape), dtype) for name, (shape, dtype) in shapes.items()
    }


def _length(config: "Config", args: argparse.Namespace) -> int:
    """Returns the tokens per row: --length, else what the gin files' rows hold."""
    lengths = config.get("TASK_FEATURE_LENGTHS", {}).values()
    return args.length or max(lengths, default=_LENGTH)
