"""Export of a run folder as a Hugging Face folder: the function of `lm export`.

The folder is read back before it gets its final name: the imported model must reproduce the run's
outputs on a fixed probe batch, or nothing is written. If several classes are possible, the first
one that does so is taken.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

import lm
from lm import checkpoint as checkpoints
from lm import disk
from lm.abstract import on_shapes, reading, specs
from lm.checkpoint import store
from lm.checkpoint.variable_names import model_weights
from lm.config import describe, parse
from lm.data.registry import task_registry
from lm.data.registry.answers import names_of_labels
from lm.data.tokenizer_conversion import TEMPLATES, write_tokenizer
from lm.errors import ConfigError, UserError
from lm.interop.config_json import Format, Variant, described
from lm.interop.huggingface import FORMATS, theirs
from lm.interop.model_card import SETTINGS, Card, model_card
from lm.interop.model_folder import Folder, read_folder, require_fit
from lm.interop.purposes import CONTINUATION
from lm.interop.renaming import Tensors
from lm.interop.tensor_files import SINGLE
from lm.json_file import write_object
from lm.tensor_file import write_file
from lm.types import Batch

DTYPES: dict[str, DTypeLike] = {
    "float32": np.float32,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
}
# Bounds of `Exported.difference`: float32 weights are unchanged, others are rounded.
BOUNDS = {"float32": 1e-5, "bfloat16": 0.1, "float16": 0.01}
PROBE_ROWS, PROBE_LENGTH = 2, 12
CONFIG, MODEL = "config.gin", "model.gin"
TASK, VOCABULARY, START = "MIXTURE_OR_TASK_NAME", "VOCABULARY", "START_TOKEN"


class Exported(NamedTuple):
    """The result of an export.

    Attributes:
        folder: the Hugging Face folder.
        architecture: class of `transformers`.
        difference: largest difference of an output on the probe, relative to the largest output
            or 1.
    """

    folder: Path
    architecture: str
    difference: float


class Source(NamedTuple):
    """The exported run.

    Attributes:
        workdir: the run folder.
        step: step of the checkpoint.
        weights: path -> array, memory-mapped.
        config: configuration of the run.
        vocabulary: vocabulary of its text.
        labels: names of its labels, empty if it is no classifier.
        batch: the probe.
        outputs: the model's outputs on the probe, float64.
    """

    workdir: Path
    step: int
    weights: dict[str, np.ndarray]
    config: parse.Config
    vocabulary: Any
    labels: tuple[str, ...]
    batch: Batch
    outputs: np.ndarray


def export_folder(
    workdir: str | Path, target: str | Path, *, checkpoint: str = "latest", dtype: str = "float32"
) -> Exported:
    """Exports the model of a run; on any failure no folder is left.

    Args:
        workdir: the run folder.
        target: the folder to write; it must not exist.
        checkpoint: `latest`, `best` or a step.
        dtype: dtype of the tensors, one of `DTYPES`.

    Raises:
        UserError: no supported class of `transformers` has the model's weights and outputs.
    """
    target = store.local(target).resolve()
    if target.exists():
        raise ConfigError(f"--to={target} is there already; give a new folder")
    source = read_source(checkpoints.find(workdir, checkpoint))
    refusals = []
    for given, variant in candidates(source.weights):
        try:
            with (
                disk.writing(target, "the folder"),
                disk.filled(target, disk.keep_folder) as folder,
            ):
                write(folder, target.name, source, given, variant, dtype)
                found = difference(folder, source)
                if not found <= BOUNDS[dtype]:
                    raise UserError(f"its outputs differ by {found:.3g} on the probe")
        except UserError as error:
            refusals.append(f"as {variant.architecture}: {error}")
        else:
            return Exported(target, variant.architecture, found)
    reasons = "; ".join(refusals[:3]) or "no class has tensors for all of its variables"
    raise UserError(f"{workdir} holds no model that transformers has: {reasons}")


def read_source(folder: Path) -> Source:
    """Returns the run of a checkpoint folder, with its outputs on the probe."""
    workdir = folder.parents[1]
    if not (workdir / CONFIG).is_file():
        raise ConfigError(f"{workdir} has no {CONFIG}: is it the --workdir of a run?")
    config = parse.load([str(workdir / CONFIG)], roots=["MODEL"])
    model = built(config)
    # Of an objective with two models, the one that is kept after pre-training.
    found = checkpoints.mapped_weights(folder)
    weights = {name: array for name, array in found.items() if name.startswith(f"{model.name}/")}
    checkpoints.require_fit(model_weights(model), weights, source=folder)
    batch = probe(model)
    vocabulary, labels = text_and_labels(config)
    return Source(
        workdir=workdir,
        step=checkpoints.manifest_of(folder).step,
        weights=weights,
        config=config,
        vocabulary=vocabulary,
        labels=labels,
        batch=batch,
        outputs=outputs_of(model, weights, batch),
    )


def built(config: parse.Config) -> Any:
    """Returns the model of a configuration; its variables have no values."""
    with on_shapes("MODEL"):
        model = config.value("MODEL")()
        model(specs(probe(model)))
    return model


def outputs_of(model: Any, weights: Tensors, batch: Batch) -> np.ndarray:
    """Returns the outputs of a model without values, whose weights are read as they are used."""
    arrays = {variable.path: weights[name] for name, variable in model_weights(model).items()}
    with reading(arrays):
        return np.asarray(model(batch, training=False), "float64")


def text_and_labels(config: parse.Config) -> tuple[Any, tuple[str, ...]]:
    """Returns the vocabulary of a run's text and the names of its labels."""
    own = config.get(VOCABULARY)
    if not config.has(TASK):
        return own, ()
    features = task_registry.find(config.value(TASK)).output_features
    text = features["targets" if "targets" in features else "inputs"].vocabulary
    return own or text, tuple(names_of_labels(features))


def probe(model: Any) -> Batch:
    """Returns a batch of random tokens for every side of a model; always the same batch."""
    noise = np.random.default_rng(0)
    shape = (PROBE_ROWS, PROBE_LENGTH)
    draws = {side: noise.integers(0, model.vocabulary_size, shape) for side in model.sides}
    return {f"{side}_input_tokens": tokens.astype("int32") for side, tokens in draws.items()}


def candidates(weights: Tensors) -> Iterator[tuple[str, Variant]]:
    """Yields model type and class of every variant that has a name for every variable."""
    for model_type, given in FORMATS.items():
        for variant in given.variants:
            if variant.head is not None and variant.head not in weights:
                continue
            try:
                theirs(variant.family, weights)
            except UserError:
                continue
            yield model_type, variant


def write(
    folder: Path, name: str, source: Source, model_type: str, variant: Variant, dtype: str
) -> None:
    """Writes all files of a folder.

    Raises:
        UserError: a setting or the vocabulary has no counterpart in `transformers`.
    """
    values = config_json(source, FORMATS[model_type], variant)
    head = {"model_type": model_type, "architectures": [variant.architecture], "dtype": dtype}
    write_object(folder / "config.json", {**head, **values})
    tensors = named(variant, source.weights)
    write_file(folder / SINGLE, tensors, dtype=DTYPES[dtype], metadata={"format": "pt"})
    write_tokenizer(source.vocabulary, folder, TEMPLATES[model_type])
    card = Card(
        name=name,
        architecture=variant.architecture,
        parameters=sum(tensor.size for tensor in tensors.values()),
        workdir=source.workdir,
        step=source.step,
        settings=settings_text(source.config),
        version=lm.__version__,
    )
    (folder / "README.md").write_text(model_card(card), encoding="utf-8")


def named(variant: Variant, weights: Tensors) -> dict[str, np.ndarray]:
    """Returns the tensors under the names of a class; without the prefix if it has no head."""
    has_head = not variant.architecture.endswith("Model") or variant.architecture.endswith(
        "HeadModel"
    )
    prefix = "" if has_head else variant.family.prefix
    found = theirs(variant.family, weights)
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def config_json(source: Source, given: Format, variant: Variant) -> dict[str, Any]:
    """Returns the keys of `config.json` other than type and class.

    Raises:
        UserError: a binding of the run has no counterpart in `transformers`.
    """
    said = described(source.config.bindings, (*given.settings, *variant.settings))
    values = given.written({**given.fixed, **said, **variant.when})
    text = source.vocabulary
    ids = {"pad_token_id": text.pad_id, "eos_token_id": text.eos_id, "bos_token_id": text.bos_id}
    known = {key: i for key, i in ids.items() if i is not None and i >= 0}
    if variant.purpose is CONTINUATION:
        known["bos_token_id"] = start_token(source.config)
    if not source.labels:
        return {**known, **values}
    names = dict(enumerate(source.labels))
    return {
        **known,
        **values,
        "id2label": {str(i): label for i, label in names.items()},
        "label2id": {label: i for i, label in names.items()},
    }


def start_token(config: parse.Config) -> int:
    """Returns the token that a language model reads first."""
    return config.get(START, 0)


def settings_text(config: parse.Config) -> dict[str, str]:
    """Returns the macros that a model card shows, as gin text."""
    return {one.scope: repr(one.value) for one in config.bindings if one.scope in SETTINGS}


def difference(folder: Path, source: Source) -> float:
    """Returns the relative difference between a written folder's outputs and the run's."""
    found = read_folder(folder)
    model = rebuilt(found)
    shapes = {path: variable.shape for path, variable in model_weights(model).items()}
    require_fit(found.weights, shapes, found.variant)
    outputs = outputs_of(model, found.weights, source.batch)
    if outputs.shape != source.outputs.shape:
        raise UserError(f"its outputs are {outputs.shape}, the run's {source.outputs.shape}")
    largest = max(1.0, float(np.abs(source.outputs).max()))
    return float(np.abs(outputs - source.outputs).max()) / largest


def rebuilt(found: Folder) -> Any:
    """Returns the model that an import of a folder builds; its variables have no values."""
    text = describe.gin_text("The model of a folder.", found.variant.files, found.bindings())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        path.write_text(text, encoding="utf-8")
        return built(parse.load([str(path)], roots=["MODEL"]))
