"""`lm.load(workdir)`: a run folder as an object with methods for generation, scoring and so on."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import lm
from lm import checkpoint as checkpoints
from lm import resources
from lm.abstract import on_shapes
from lm.config import parse
from lm.config.names import INFERENCE
from lm.data.registry import task_registry
from lm.data.rows.converter import row_shapes
from lm.data.vocabulary import fingerprint
from lm.engines import memory
from lm.errors import ConfigError
from lm.inference import evaluate, generate, predict, score, trained
from lm.inference.ensemble import joined
from lm.inference.evaluate import EvaluationResult
from lm.inference.generate import Candidate
from lm.inference.own_weights import with_weights
from lm.inference.rounding import beside_float32
from lm.inference.zero_shot.suite import SetResult

CONFIG = "config.gin"
WIRING = ("runs/generate.gin", "runs/evaluate.gin", "runs/embed.gin")
OBJECTIVE, TASK = "OBJECTIVE", "MIXTURE_OR_TASK_NAME"
LENGTHS, CONVERTER = "TASK_FEATURE_LENGTHS", "FEATURE_CONVERTER"
VOCABULARY, DTYPE_POLICY, SEED = "VOCABULARY", "DTYPE_POLICY", "RANDOM_SEED"
_TOKEN = 4  # bytes


@dataclass(frozen=True)
class Run:
    """A trained model and the settings of its run.

    Arguments of methods override gin's bindings, which override the defaults of the functions of
    the same names in `lm.inference`.

    Attributes:
        trained: model, vocabularies and metadata.
        config: the loaded configuration.
        workdir: the run folder.
        step: of the checkpoint.
    """

    trained: trained.Trained
    config: parse.Config
    workdir: Path
    step: int

    def generate(self, prompts: Sequence[generate.Prompt], **settings: Any) -> generate.Generated:
        """Returns texts for prompts; settings are those of `generate.generate`."""
        return self._call("lm.inference.generate.generate", prompts=prompts, **settings)

    def reply(self, turns: Sequence[str], **settings: Any) -> Candidate:
        """Returns the next turn of a conversation; settings are those of `chat.reply`."""
        return self._call("lm.inference.chat.reply", turns=turns, **settings)

    def score(self, examples: Sequence[Mapping[str, str]], **settings: Any) -> list[score.Score]:
        """Returns the log-likelihoods of texts; settings are those of `score.score`."""
        return self._call("lm.inference.score.score", examples=examples, **settings)

    def predict(
        self, examples: Sequence[str | Mapping[str, str]], **settings: Any
    ) -> list[predict.Prediction]:
        """Returns labels with probabilities; settings are those of `predict.predict`."""
        return self._call("lm.inference.predict.predict", examples=examples, **settings)

    def embed(self, texts: Sequence[str], **settings: Any) -> np.ndarray:
        """Returns a vector for each text; settings are those of `embed.embed`."""
        return self._call("lm.inference.embed.embed", texts=texts, **settings)

    def evaluate(
        self, mixture_or_task_name: str | None = None, **settings: Any
    ) -> list[evaluate.EvaluationResult]:
        """Returns metrics on tasks; settings are those of `evaluate.evaluate`."""
        name = mixture_or_task_name or self.trained.task
        task_registry.find(name)
        settings = {"mixture_or_task_name": name, **settings}
        return self._call("lm.inference.evaluate.evaluate", **settings)

    def evaluate_rounding(
        self, mixture_or_task_name: str | None = None, **settings: Any
    ) -> list[EvaluationResult]:
        """Returns what `evaluate` does, with the effect of narrow weights."""
        wide = replace(self, trained=with_weights(self.trained, "float32"))
        pairs = [run.evaluate(mixture_or_task_name, **settings) for run in (self, wide)]
        return [
            beside_float32(self.trained, wide.trained, found, reference)
            for found, reference in zip(*pairs, strict=True)
        ]

    def evaluate_suite(self, suite: str, **settings: Any) -> Iterator[SetResult]:
        """Yields results on question sets; settings are those of `suite.evaluate_suite`."""
        return self._call("lm.inference.zero_shot.suite.evaluate_suite", suite=suite, **settings)

    def _call(self, entry: str, **settings: Any) -> Any:
        return self.config.configured(entry)(trained=self.trained, **settings)


def load(
    workdir: str | Path,
    checkpoint: str | int = "latest",
    *,
    gin_files: Sequence[str] = (),
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
    ensemble: Sequence[str | Path] = (),
    weights: str = "float32",
) -> Run:
    """Loads a run: its configuration, model and weights (averaged weights if it has them).

    gin holds one configuration at a time: this replaces the one loaded before.

    Args:
        workdir: the run folder, or one checkpoint folder in it.
        checkpoint: `latest`, `best` or a step.
        gin_files: files after the run's own, such as `decode/beam.gin`.
        bindings: gin text after the files, such as `generate.generate.beam_size = 4`.
        search_paths: folders of gin files.
        modules: your modules that the run's gin files import.
        ensemble: other runs or checkpoints; the probabilities of all are averaged.
        weights: `float32` for the model's own weights, or `bfloat16` or `int8` for rounded copies,
            which take 2 or 1 more bytes per weight.

    Raises:
        UserError: there is no such run or checkpoint, or it does not fit its configuration or, in
            an ensemble, the first run.

    Example:
        run = lm.load("/tmp/run", checkpoint="best")
        run.generate(["def main("], temperature=0.8, seed=1).candidates[0][0].text
    """
    # gin holds one configuration at a time, so the first run is loaded last.
    others = {
        str(w): load(w, search_paths=search_paths, modules=modules, weights="float32").trained
        for w in ensemble
    }
    folder = checkpoints.find(workdir, str(checkpoint))
    root = folder.parents[1]
    config_file = root / CONFIG
    if not config_file.is_file():
        raise ConfigError(f"{root} has no {CONFIG}: is it the --workdir of a run?")
    wiring = [str(resources.gin_folder() / name) for name in WIRING]
    config = parse.load(
        [*wiring, str(config_file), *gin_files],
        bindings,
        search_paths=search_paths,
        modules=modules,
        roots=[*INFERENCE, OBJECTIVE, CONVERTER],
    )
    if not config.has(OBJECTIVE):
        raise ConfigError(
            f"{root} has weights but no objective: fine-tune it (runs/finetune.gin) with "
            f"{root}/model.gin, a head, an objective and data"
        )
    made = build(config)
    checkpoints.load_weights(made.objective, folder)
    manifest = checkpoints.manifest_of(folder)
    step = manifest.step
    metadata = {"step": step, "checkpoint": short_hash(folder / "MANIFEST.json")}
    metadata |= {
        "config": short_hash(config_file),
        "tokenizer": tokenizer(made),
        "lm": lm.__version__,
    }
    metadata["seed"] = config.get(SEED)
    is_carried = "carry" in manifest.tensors
    made = replace(made, metadata=metadata, is_carried=is_carried)
    if others:
        made = joined({str(workdir): made, **others})
    return Run(with_weights(made, weights), config, root, step)


def build(config: parse.Config) -> trained.Trained:
    """Returns the model of a configuration; its variables have no values yet.

    Raises:
        ConfigError: a macro is not defined.
        UserError: the weights do not fit into memory.
    """
    lengths, converter = config.value(LENGTHS), config.value(CONVERTER)
    memory.require(memory.Need(0, 0, 0, batch=_TOKEN * sum(lengths.values())))
    vocabulary, name = config.get(VOCABULARY), config.value(TASK)
    provider = task_registry.with_vocabulary(task_registry.find(name), vocabulary)
    return trained.Trained(
        objective=objective(config, row_shapes(converter, lengths)),
        features=provider.output_features,
        task=name,
        lengths=lengths,
        converter=converter,
        vocabulary=vocabulary,
    )


def objective(config: parse.Config, rows: Mapping[str, Any]) -> Any:
    """Returns the objective of a configuration, on shapes: its variables have no values yet."""
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(config.get(DTYPE_POLICY, before))
        # Build on shapes first, so that a model that does not fit is an error before allocation.
        row = {name: keras.KerasTensor((1, *shape), dtype) for name, (shape, dtype) in rows.items()}
        with on_shapes(OBJECTIVE):
            made = config.value(OBJECTIVE)()
            made(row)
            memory.require(memory.Need(memory.size(made.variables), 0, 0, 0))
    finally:
        keras.config.set_dtype_policy(before)
    return made


def tokenizer(made: trained.Trained) -> str:
    """Returns type and short hash of the vocabulary of the targets; empty for labels."""
    name = "targets" if "targets" in made.features else "inputs"
    vocabulary = made.features[name].vocabulary
    return f"{type(vocabulary).__name__}:{fingerprint(vocabulary)[:12]}"


def short_hash(path: Path) -> str:
    """Returns the first 12 digits of a file's sha256; a manifest's covers its whole folder."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
