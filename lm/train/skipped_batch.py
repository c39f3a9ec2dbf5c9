"""Batches whose update was skipped: saving them with their outcome, and replaying one.

An update is skipped if the loss or a gradient is not finite. The folder and the metadata of the
files are called "refused", as in earlier versions.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from safetensors import SafetensorError, numpy, safe_open

from lm import disk
from lm.engines import Engine, Outcome, Program
from lm.engines.state_variables import mean
from lm.errors import UserError
from lm.mesh import cluster
from lm.train.process_group import StopSignals
from lm.train.progress import log
from lm.train.state import is_finite
from lm.types import Batch

FOLDER = "refused"
MAX_FILES = 20  # the newest ones
_KEY = "refused"
_SHOWN = 3


class SkippedBatch(NamedTuple):
    """A batch and the outcome of its skipped update.

    Attributes:
        step: batches consumed, this one included.
        batch: feature -> array.
        terms: name -> (total, weight) of every term of the objective.
        gradients: paths of the weights with a non-finite gradient, in the model's order.
    """

    step: int
    batch: Batch
    terms: Mapping[str, Sequence[float]]
    gradients: Sequence[str]


def from_outcome(step: int, batch: Batch, outcome: Outcome, paths: Sequence[str]) -> SkippedBatch:
    """Returns a batch with the outcome of its step; waits for the device.

    Args:
        step: batches consumed, this one included.
        batch: its batch.
        outcome: of the step.
        paths: of the weights, in the order of `outcome.finite`.
    """
    terms = {name: np.asarray(pair).tolist() for name, pair in outcome.terms.items()}
    finite = np.asarray(outcome.finite).tolist()
    bad = [path for path, is_good in zip(paths, finite, strict=True) if not is_good]
    return SkippedBatch(step, dict(batch), terms, bad)


def write(workdir: Path, skipped: SkippedBatch) -> Path:
    """Saves a skipped batch as `refused/<step>.safetensors`; keeps only the newest files.

    Raises:
        UserError: the file cannot be written.
    """
    folder = workdir / FOLDER
    path = folder / f"{skipped.step}.safetensors"
    metadata = {name: value for name, value in skipped._asdict().items() if name != "batch"}
    arrays = {name: np.ascontiguousarray(array) for name, array in skipped.batch.items()}
    with disk.writing(path, "the skipped batch"):
        folder.mkdir(parents=True, exist_ok=True)
        content = numpy.save(arrays, metadata={_KEY: json.dumps(metadata)})
        disk.replace(path, content, what="the skipped batch")
        for old in sorted(folder.glob("*.safetensors"), key=_step)[:-MAX_FILES]:
            old.unlink(missing_ok=True)  # another process may have deleted it
    return path


def read(path: str | Path) -> SkippedBatch:
    """Returns a saved batch.

    Raises:
        UserError: the file is missing, damaged, or not a saved batch.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})[_KEY])
            batch = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return SkippedBatch(batch=batch, **metadata)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a batch saved by a run ({error}); give a file of WORKDIR/{FOLDER}/"
        ) from error


def format_cause(skipped: SkippedBatch, activations: Sequence[str] = ()) -> str:
    """Returns the terms and the first non-finite tensors, as a part of a line.

    Example:
        >>> bad = SkippedBatch(3, {"x": np.zeros(2)}, {"loss": (math.nan, 2.0)}, ["model/kernel"])
        >>> format_cause(bad)
        'loss nan; first not finite: gradients model/kernel'
    """
    terms = [f"{name} {mean(*pair):.6g}" for name, pair in skipped.terms.items()]
    features = [name for name, array in skipped.batch.items() if not is_finite(array)]
    kinds = {"features": features, "activations": activations, "gradients": skipped.gradients}
    bad = [f"{kind} {_first(names)}" for kind, names in kinds.items() if names]
    return f"{', '.join(terms)}; first not finite: {', '.join(bad) or 'the loss alone'}"


def _same_terms(left: SkippedBatch, right: SkippedBatch) -> bool:
    """Returns whether two steps had the same terms bit for bit; NaN equals NaN."""

    def digits(skipped: SkippedBatch) -> dict[str, list[str]]:
        return {name: list(map(repr, map(float, pair))) for name, pair in skipped.terms.items()}

    return digits(left) == digits(right)


def _first(names: Sequence[str]) -> str:
    """Returns the first few names and the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _step(path: Path) -> float:
    """Returns the step in a file name; infinity for any other file, so that it is kept."""
    return int(path.stem) if path.stem.isdecimal() else math.inf


def replay(
    saved: SkippedBatch, *, step: int, engine: Engine, data: Any, signals: StopSignals
) -> None:
    """Repeats the steps from a checkpoint up to a skipped one and prints its outcome.

    The checkpoint and the batches in between reproduce the state of that step bit for bit. Without
    a checkpoint before it, the batch is run on a later state, and the output says so.

    Args:
        saved: the skipped batch.
        step: of the checkpoint, the current step of engine and data.
        engine: an engine of `lm.engines`.
        data: endless batches.
        signals: a signal ends the replay.

    Raises:
        SystemExit: after a signal.
    """
    if step < saved.step - 1:
        log(f"repeating steps {step + 1} to {saved.step - 1}")
    for _ in range(step, saved.step - 1):
        engine.step(next(data))
        if signals.received:
            raise SystemExit(signals.exit_code)
    is_exact = step < saved.step
    engine.pull()
    activations = not_finite_layers(engine.program, saved.batch)
    outcome = engine.step(saved.batch)
    paths = engine.program.paths
    found = from_outcome(saved.step, saved.batch, outcome, paths)
    result = "accepted" if bool(outcome.accepted) else "skipped"
    lines = [
        f"batch of step {saved.step}: update {result}: {format_cause(found, activations)}",
        *(_term(name, found, saved) for name in found.terms),
        f"activations not finite: {', '.join(activations) or 'none'}",
        f"gradients not finite: {', '.join(found.gradients) or 'none'}",
        *_comparison(found, saved, data, is_exact=is_exact),
    ]
    print("\n".join(lines), flush=True)


def _term(name: str, found: SkippedBatch, saved: SkippedBatch) -> str:
    """Returns a line that compares a term with its value in the run."""
    then = mean(*saved.terms[name]) if name in saved.terms else "-"
    return f"{name} = {mean(*found.terms[name])!r} (in the run: {then!r})"


def _comparison(
    found: SkippedBatch, saved: SkippedBatch, data: Any, *, is_exact: bool
) -> Iterator[str]:
    """Yields lines that say whether the replay matches the run."""
    if not is_exact:
        yield "the state is a later one: no checkpoint from before this step is left"
        return
    is_same = _same_terms(found, saved)
    yield f"terms equal those of the run: {'yes, bit for bit' if is_same else 'no'}"
    yield f"the data give the same batch: {'yes' if _equal(next(data), saved.batch) else 'no'}"


def _equal(left: Batch, right: Batch) -> bool:
    """Returns whether two batches are equal; NaN equals NaN."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f")
        for name in left
    )


def not_finite_layers(program: Program, batch: Batch) -> list[str]:
    """Returns the paths of the layers with a non-finite output, in the order of their calls' ends.

    Runs one eager training pass with every layer watched; the state does not change. On JAX the
    layers inside `Remat` cannot be watched. All processes of a run must call this, since the
    outputs of layers may be split over them.

    Args:
        program: objective and state; the engine must have been pulled.
        batch: a global batch, cut into microbatches here.
    """
    for part, carry in _microbatches(program, batch):
        found: list[str] = []
        with keras.StatelessScope(), _watched(program.objective, found.append):
            program.forward(part, program.carry.packed(carry), training=True)
        if found:
            return list(dict.fromkeys(found))
    return []


def _microbatches(program: Program, batch: Batch) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yields microbatches with their rows of the carry."""
    carry = [cluster.host_copy(v.value) for v in program.carry.variables]
    for i in range(program.microbatches):
        yield keras.tree.map_structure(
            lambda x, i=i: keras.ops.convert_to_tensor(np.split(x, program.microbatches)[i]),
            (dict(batch), carry),
        )


@contextlib.contextmanager
def _watched(objective: Any, add: Callable[[str], None]) -> Iterator[None]:
    """Checks what every layer of an objective returns while the body runs."""
    layers = list(objective._flatten_layers())
    for layer in layers:
        layer.call = _watched_call(layer, add)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _watched_call(layer: Any, add: Callable[[str], None]) -> Callable[..., Any]:
    """Wraps a layer's `call`, which then adds the layer's path if an output is not finite."""
    call = layer.call

    def watched(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        if not all(map(_is_finite_output, keras.tree.flatten(outputs))):
            add(layer.path)
        return outputs

    return watched


def _is_finite_output(x: Any) -> bool:
    """Returns whether an output is finite; non-tensors and symbolic tensors count as finite."""
    try:
        return not keras.ops.is_tensor(x) or is_finite(cluster.host_copy(x))
    except (TypeError, NotImplementedError):
        return True
