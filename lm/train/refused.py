"""A batch whose update was refused: kept with what was seen of it, and run alone."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, numpy, safe_open

from lm import disk
from lm.engines.meter import mean
from lm.engines.outcome import Outcome
from lm.errors import UserError
from lm.train import probe
from lm.train.progress import tell
from lm.train.signals import Signals

FOLDER = "refused"
KEPT = 20  # the newest ones
_KEY = "refused"
_SHOWN = 3


class Refused(NamedTuple):
    """A refused update.

    Attributes:
        step: batches consumed, this one included.
        batch: feature -> array.
        terms: name -> (total, weight) of every term of the objective.
        gradients: paths of the weights whose gradient was not finite, in the model's order.
    """

    step: int
    batch: Mapping[str, np.ndarray]
    terms: Mapping[str, Sequence[float]]
    gradients: Sequence[str]


def seen(step: int, batch: Mapping[str, Any], outcome: Outcome, paths: Sequence[str]) -> Refused:
    """Return what a step's outcome tells; waits for the device.

    Args:
        step: batches consumed, this one included.
        batch: what the step was made from.
        outcome: what came of it.
        paths: of the weights, in the order of `outcome.finite`.
    """
    terms = {name: np.asarray(pair).tolist() for name, pair in outcome.terms.items()}
    finite = np.asarray(outcome.finite).tolist()
    bad = [path for path, is_finite in zip(paths, finite, strict=True) if not is_finite]
    return Refused(step, dict(batch), terms, bad)


def write(workdir: Path, refused: Refused) -> Path:
    """Keep a refused batch as `refused/<step>.safetensors`; the oldest make room.

    Raises:
        UserError: the file cannot be written.
    """
    folder = workdir / FOLDER
    path = folder / f"{refused.step}.safetensors"
    about = {name: value for name, value in refused._asdict().items() if name != "batch"}
    arrays = {name: np.ascontiguousarray(array) for name, array in refused.batch.items()}
    with disk.writing(path, "the refused batch"):
        folder.mkdir(parents=True, exist_ok=True)
        content = numpy.save(arrays, metadata={_KEY: json.dumps(about)})
        disk.replace(path, content, what="the refused batch")
        for old in sorted(folder.glob("*.safetensors"), key=_step)[:-KEPT]:
            old.unlink(missing_ok=True)  # several processes may write the same
    return path


def read(path: str | Path) -> Refused:
    """Return a kept batch.

    Raises:
        UserError: the file is missing, damaged, or nothing that a run kept.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            batch = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Refused(batch=batch, **about)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: no batch that a run has kept ({error}); give a file of WORKDIR/{FOLDER}/"
        ) from error


def told(refused: Refused, activations: Sequence[str] = ()) -> str:
    """Return terms and first bad tensors in a part of a line.

    Example:
        >>> bad = Refused(3, {"x": np.zeros(2)}, {"loss": (math.nan, 2.0)}, ["model/kernel"])
        >>> told(bad)
        'loss nan; first not finite: gradients model/kernel'
    """
    terms = [f"{name} {mean(*pair):.6g}" for name, pair in refused.terms.items()]
    features = [name for name, array in refused.batch.items() if not _is_finite(array)]
    kinds = {"features": features, "activations": activations, "gradients": refused.gradients}
    bad = [f"{kind} {_first(names)}" for kind, names in kinds.items() if names]
    return f"{', '.join(terms)}; first not finite: {', '.join(bad) or 'the loss alone'}"


def same_terms(left: Refused, right: Refused) -> bool:
    """Tell whether two steps had the same terms, bit for bit; a NaN equals a NaN."""

    def bits(refused: Refused) -> dict[str, list[str]]:
        return {name: list(map(repr, map(float, pair))) for name, pair in refused.terms.items()}

    return bits(left) == bits(right)


def _first(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_finite(array: np.ndarray) -> bool:
    """Tell whether all numbers are finite; integers are."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _step(path: Path) -> float:
    """Return the step that names a file; another file is no old one."""
    return int(path.stem) if path.stem.isdecimal() else math.inf


def replay(*, kept: Refused, step: int, engine: Any, data: Any, signals: Signals) -> None:
    """Make the steps from a checkpoint to the refused one; print what is seen there.

    The checkpoint and the batches in between give the state of that step bit for bit. Where no
    checkpoint before it is left, the batch meets a later state, and the lines say so.

    Args:
        kept: the refused batch.
        step: of the checkpoint that engine and data were given.
        engine: an engine of `lm.engines`.
        data: endless batches, at the position of the checkpoint.
        signals: ends the run of steps.

    Raises:
        SystemExit: after a signal.
    """
    if step < kept.step - 1:
        tell(f"making steps {step + 1} to {kept.step - 1} again")
    for _ in range(step, kept.step - 1):
        engine.step(next(data))
        if signals.received:
            raise SystemExit(signals.exit_code)
    is_exact = step < kept.step
    engine.pull()
    activations = probe.activations(engine.program, kept.batch)
    outcome = engine.step(kept.batch)
    paths = [weight.path for weight in engine.program.weights]
    found = seen(kept.step, kept.batch, outcome, paths)
    verdict = "accepted" if bool(outcome.accepted) else "refused"
    lines = [
        f"batch of step {kept.step}: update {verdict}: {told(found, activations)}",
        *(_term(name, found, kept) for name in found.terms),
        f"activations not finite: {', '.join(activations) or 'none'}",
        f"gradients not finite: {', '.join(found.gradients) or 'none'}",
        *_comparison(found, kept, data, is_exact=is_exact),
    ]
    print("\n".join(lines), flush=True)


def _term(name: str, found: Refused, kept: Refused) -> str:
    """Return one term now and in the run."""
    then = mean(*kept.terms[name]) if name in kept.terms else "-"
    return f"{name} = {mean(*found.terms[name])!r} (in the run: {then!r})"


def _comparison(found: Refused, kept: Refused, data: Any, *, is_exact: bool) -> Iterator[str]:
    """Yield whether this was the run's own step."""
    if not is_exact:
        yield "the state is a later one: no checkpoint from before this step is left"
        return
    is_same = same_terms(found, kept)
    yield f"terms equal those of the run: {'yes, bit for bit' if is_same else 'no'}"
    yield f"the data give the same batch: {'yes' if _equal(next(data), kept.batch) else 'no'}"


def _equal(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> bool:
    """Tell whether two batches are equal; a NaN equals a NaN."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f")
        for name in left
    )
