"""Run folders of tiny models with random weights, as training leaves them, and their tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import seqio

from lm import checkpoint
from lm.config import parse
from lm.data.evaluation import metrics
from lm.data.storage import sources
from lm.data.vocabulary import byte_vocabulary
from lm.inference.run import build

STEP = 7
TEXTS = ["a bc ab", "cab cab", "bb", "abc abc ab a", "c"]

SIZES = """
from __gin__ import dynamic_registration
from lm.data.rows import features
from lm.data.rows import packing
from lm.objectives import token_prediction
HIDDEN_DIM = 16
INTERMEDIATE_DIM = 24
NUM_LAYERS = 1
NUM_HEADS = 2
VOCABULARY_SIZE = 259
OBJECTIVE = @token_prediction.TokenPrediction
token_prediction.TokenPrediction.model = %MODEL
"""
CONTINUES = """
MAX_SEQUENCE_LENGTH = 40
MIXTURE_OR_TASK_NAME = 'tiny_text'
TASK_FEATURE_LENGTHS = {'targets': 8}
FEATURE_CONVERTER = @features.LanguageModel
features.LanguageModel.pack = @packing.FirstFit
"""
ANSWERS = """
MIXTURE_OR_TASK_NAME = 'tiny_pairs'
TASK_FEATURE_LENGTHS = {'inputs': 16, 'targets': 12}
FEATURE_CONVERTER = @features.EncoderDecoder
"""
REMEMBERS = CONTINUES.replace("MAX_SEQUENCE_LENGTH", "MEMORY_LENGTH")
KINDS = {
    "remembers": ("models/transformer_xl/architecture.gin", SIZES + REMEMBERS),
    "continues": ("models/gpt2/architecture.gin", SIZES + CONTINUES),
    "conditional": (
        "models/gpt2/architecture.gin",
        SIZES
        + "MAX_SEQUENCE_LENGTH = 40\n"
        + ANSWERS.replace("EncoderDecoder", "ConditionalLanguageModel"),
    ),
    "answers": ("models/transformer/architecture.gin", SIZES + ANSWERS),
}


def register() -> None:
    """Registers the tasks, once a process."""
    if "tiny_text" in seqio.TaskRegistry.names():
        return
    feature = seqio.Feature(byte_vocabulary())
    steps = [seqio.preprocessors.tokenize, seqio.preprocessors.append_eos]
    source = sources.examples_source("tiny", {"validation": pairs}, fingerprint=dict)
    seqio.TaskRegistry.add("tiny_text", source, {"targets": feature}, preprocessors=steps)
    seqio.TaskRegistry.add(
        "tiny_pairs",
        source,
        {"inputs": feature, "targets": feature},
        preprocessors=steps,
        metric_fns=[metrics.bleu, metrics.exact_match, total_score],
    )


def pairs() -> Iterator[dict[str, str]]:
    """Yields texts and their reverses."""
    for text in TEXTS:
        yield {"inputs": text, "targets": text[::-1]}


def total_score(targets: list[str], scores: list[float]) -> dict[str, float]:
    """Returns the sum of log-likelihoods."""
    del targets
    return {"total_score": float(np.sum(scores))}


def make(kind: str, workdir: Path) -> Path:
    """Writes a run folder of a model with random weights; returns it."""
    register()
    family, text = KINDS[kind]
    file = workdir / "run.gin"
    file.write_text(text)
    config = parse.load([family, str(file)], roots=["OBJECTIVE", "FEATURE_CONVERTER"])
    (workdir / "config.gin").write_text(config.text())
    objective = build(config).objective
    groups = {"weights": random_weights(objective)}
    if kind == "remembers":
        groups["carry"] = {"carry/decoder/positions": np.zeros(4, "int32")}
    checkpoint.write(
        workdir / "checkpoints" / str(STEP),
        step=STEP,
        groups=groups,
        data_state=b"",
        metadata={},
    )
    return workdir


def random_weights(objective: Any) -> dict[str, np.ndarray]:
    """Returns noise for every weight, large enough that outputs differ."""
    noise = np.random.default_rng(0)
    return {
        v.path.removeprefix(f"{objective.name}/"): noise.normal(0, 0.3, v.shape).astype("float32")
        for v in objective.variables
        if v.name != "seed_generator_state"
    }
