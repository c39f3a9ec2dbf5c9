"""A refused batch run alone, from the state that it met: `lm train --replay_batch=FILE`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lm.engines.meter import mean
from lm.train import probe, refused
from lm.train.progress import tell
from lm.train.refused import Refused
from lm.train.signals import Signals


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
    found = refused.seen(kept.step, kept.batch, outcome, paths)
    verdict = "accepted" if bool(outcome.accepted) else "refused"
    lines = [
        f"batch of step {kept.step}: update {verdict}: {refused.told(found, activations)}",
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
    is_same = refused.same_terms(found, kept)
    yield f"terms equal those of the run: {'yes, bit for bit' if is_same else 'no'}"
    yield f"the data give the same batch: {'yes' if _equal(next(data), kept.batch) else 'no'}"


def _equal(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> bool:
    """Tell whether two batches are equal; a NaN equals a NaN."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f")
        for name in left
    )
