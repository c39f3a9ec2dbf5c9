"""Import of a Hugging Face folder as a run folder: the function of `lm import`.

workdir/model.gin          the family with the folder's sizes and tokenizer, to train new heads
        config.gin         the complete configuration of a run, as training writes it
        checkpoints/0/     the weights
        tokenizer/         the tokenizer
        huggingface.json   the folder's config.json
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lm
from lm import checkpoint, disk
from lm.checkpoint import store
from lm.config import parse
from lm.config.describe import gin_text
from lm.config.scanner import HERE
from lm.config.syntax import Binding
from lm.errors import ConfigError
from lm.interop.config_json import binding
from lm.interop.model_folder import Folder, read_folder, require_fit
from lm.interop.tokenizer_files import copy_tokenizer, token_roles, vocabulary_bindings
from lm.json_file import read_object
from lm.summary import summarise

MODEL, CONFIG, ORIGIN = "model.gin", "config.gin", "huggingface.json"
TOKENIZER = "tokenizer"
FINETUNE = "runs/finetune.gin"
_USUAL_LENGTH = 512


class Imported(NamedTuple):
    """The result of an import.

    Attributes:
        workdir: the run folder.
        architecture: class of `transformers`.
        parameters: number of weights.
        left_out: tensors of the folder without a variable in the model.
    """

    workdir: Path
    architecture: str
    parameters: int
    left_out: list[str]


def import_folder(source: str | Path, workdir: str | Path) -> Imported:
    """Imports a Hugging Face folder; on any failure no run folder is left.

    Args:
        source: folder with `config.json`, `model.safetensors` or its shards, and the tokenizer.
        workdir: the run folder; it must not exist.

    Raises:
        UserError: a file, key or tensor is missing, damaged or unknown; the message names it.
    """
    source, workdir = Path(source), store.local(workdir).resolve()
    if workdir.exists():
        raise ConfigError(f"--workdir={workdir} is there already; give a new folder")
    folder = read_folder(source)
    with disk.writing(workdir, "the run"), disk.filled(workdir, disk.keep_folder) as temporary:
        copy_tokenizer(source, temporary / TOKENIZER, folder.config["model_type"])
        shapes = _write_configuration(folder, source, temporary, workdir)
        require_fit(folder.weights, shapes, folder.variant)
        checkpoint.write(
            temporary / store.FOLDER / "0",
            step=0,
            groups={"weights": folder.weights},
            dtype=np.float32,
            data_state=b"",
            metadata={"imported": str(source), "lm": lm.__version__},
        )
        original = json.dumps(read_object(source / "config.json"), indent=1)
        (temporary / ORIGIN).write_text(original, encoding="utf-8")
    size = sum(x.size for x in folder.weights.values())
    return Imported(workdir, folder.variant.architecture, size, folder.left_out)


def _write_configuration(
    folder: Folder, source: Path, temporary: Path, workdir: Path
) -> dict[str, Any]:
    """Writes the gin files; returns path -> shape of the model's variables."""
    variant, purpose = folder.variant, folder.variant.purpose
    vocabulary = vocabulary_bindings(temporary / TOKENIZER, f"{HERE}/{TOKENIZER}")
    title = f"{variant.architecture} of {source.resolve().name!r}, imported."
    model = gin_text(title, variant.files, [*folder.bindings(), *vocabulary])
    (temporary / MODEL).write_text(model, encoding="utf-8")
    files = [MODEL]
    if purpose.files:
        roles = token_roles(temporary / TOKENIZER)
        run = gin_text(title, (), [*vocabulary, *_run_bindings(folder, workdir, roles)])
        (temporary / CONFIG).write_text(run, encoding="utf-8")
        files = [FINETUNE, MODEL, *purpose.files, CONFIG]
    loaded = parse.load(files, search_paths=[str(temporary)], roots=["MODEL"])
    # The run folder may be moved, so its files refer to each other relative to their own folder.
    text = loaded.text().replace(str(temporary.absolute()), HERE)
    (temporary / CONFIG).write_text(text, encoding="utf-8")
    return summarise(loaded.value("MODEL"), length=16).shapes


def _run_bindings(folder: Folder, workdir: Path, roles: Mapping[str, int]) -> list[Binding]:
    """Returns the bindings of a run that starts from the imported weights."""
    purpose, config = folder.variant.purpose, folder.config
    length = min(folder.row_length(), _USUAL_LENGTH)
    values = {
        "INITIAL_CHECKPOINT_PATH": HERE,
        "TASK_FEATURE_LENGTHS": dict.fromkeys(purpose.features, length),
        # One process may load several runs with different labels.
        f"{purpose.task}.name": f"imported_{zlib.crc32(str(workdir).encode()):08x}",
        **purpose.bindings,
        **{name: value(config, roles) for name, value in purpose.values.items()},
    }
    return [binding(name, value) for name, value in values.items()]
