"""Speed compared with another library: the same work in alternating windows of one process."""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lm import engines
from lm.bench.measure import (
    STEPS_PER_WINDOW,
    Sizes,
    Speed,
    prompts_of,
    rates,
    search_call,
    timed,
)
from lm.bench.synthetic import synthetic_batch
from lm.bench.twin_spec import TwinSpec, twin_spec
from lm.engines import Outcome
from lm.errors import UserError
from lm.inference.own_weights import copies_of
from lm.types import Batch

PEERS = ("transformers", "ctranslate2")
WORKS = ("training", "generation")
PAUSE = 0.3  # seconds, until the other library's spinning threads go to sleep

Calls = dict[str, Callable[[], Any]]
Report = Callable[[str], None]


def compare_with_peer(
    *,
    objective: Any,
    optimizer: Any,
    sizes: Sizes,
    against: str,
    only: str | None = None,
    weights: str = "float32",
    report: Report = print,
) -> dict[str, Any]:
    """Measures our model and a peer's on the same shapes and weights; returns metrics by work.

    Args:
        objective: its `model` is of a type that `lm.interop` supports.
        optimizer: the optimizer.
        sizes: batch size, lengths and number of windows.
        against: one of `PEERS`.
        only: one of `WORKS`, or None for everything that the peer supports.
        weights: types of the kernel copies in our search, as in `own_weights.copies_of`.
        report: receives a line for each timed call.

    Raises:
        UserError: the peer is not installed, or does not support this model or kind of work.
    """
    peer = load(against)
    rows, inputs, targets, new_tokens, beams, windows = sizes
    batch = synthetic_batch(objective, rows=rows, inputs=inputs, targets=targets)
    engine = engines.get()(objective=objective, optimizer=optimizer, features=batch)
    spec = twin_spec(objective, batch)
    metrics: dict[str, Any] = {
        "against": against,
        "model_type": spec.model_type,
        "rows": rows,
        "parameters": sum(tensor.size for tensor in spec.weights.values()),
    }
    if only != "training" and "decoder" in objective.model.sides:
        prompts = prompts_of(batch, new_tokens)
        copies = copies_of(objective.model, weights)
        ours = search_call(
            objective.model, prompts, new_tokens=new_tokens, beams=beams, copies=copies
        )
        calls = {"ours": lambda: ours().tokens[:, 0]}
        calls |= _searches(peer, against, spec, prompts, new_tokens=new_tokens, beams=beams)
        tokens = rows * new_tokens
        speeds = alternate(calls, tokens=tokens, windows=windows, report=report)
        settings = {"new_tokens": new_tokens, "beams": beams, "same_tokens": _agreement(calls)}
        metrics["generation"] = {**settings, **_ratios(speeds, tokens)}
    if only != "generation" and hasattr(peer, "training"):
        length = targets if "decoder" in objective.model.sides else inputs
        steps = {"ours": lambda: engine.step(batch), **_trainings(peer, spec, batch)}
        outcomes: dict[str, list[Any]] = {name: [] for name in steps}
        calls = {name: _window(step, outcomes[name]) for name, step in steps.items()}
        calls["ours"] = _waited(calls["ours"], engine.logs)
        tokens = STEPS_PER_WINDOW * rows * length
        speeds = alternate(calls, tokens=tokens, windows=windows, report=report)
        losses = {name: _loss(each[0]) for name, each in outcomes.items()}
        metrics["training"] = {"first_loss": losses, **_ratios(speeds, tokens)}
    return metrics


def load(against: str) -> Any:
    """Returns the module that runs a peer.

    Raises:
        UserError: the peer is not installed.
    """
    try:
        return importlib.import_module(f"lm.bench.against_{against}")
    except ImportError as error:
        raise UserError(
            f"--against={against} needs {error.name}: install the extra `parity` "
            "(pip install 'seqlm[parity]', or make parity in a checkout)"
        ) from error


def alternate(
    calls: Calls, *, tokens: int, windows: int, report: Report = print
) -> dict[str, Speed]:
    """Times calls in alternation, so that other load on the machine affects all of them alike.

    Args:
        calls: name -> one window, which finishes its work before it returns.
        tokens: tokens processed per window.
        windows: timed windows of each call, after a first one that compiles.
        report: receives a line for each timed call.
    """
    seconds: dict[str, list[float]] = {}
    for name, call in calls.items():
        report(f"{name}: compiling")
        seconds[name] = [timed(call)]
        report(f"{name}: first window {seconds[name][0]:.1f} s, with compiling")
    for number in range(1, windows + 1):
        for name, call in calls.items():
            time.sleep(PAUSE)
            seconds[name].append(timed(call))
        latest = ", ".join(f"{name} {tokens / times[-1]:,.0f}" for name, times in seconds.items())
        report(f"window {number} of {windows}, tokens/s: {latest}")
    return {name: rates(found, tokens) for name, found in seconds.items()}


def _ratios(speeds: Mapping[str, Speed], tokens: int) -> dict[str, Any]:
    """Returns the speeds, our speed relative to each peer, and compilation times."""
    ours = speeds["ours"].tokens_per_second
    return {
        "speeds": {name: speed._asdict() for name, speed in speeds.items()},
        "ratios": {
            name: ours / speed.tokens_per_second for name, speed in speeds.items() if name != "ours"
        },
        # The first window also does the work of an ordinary window.
        "compile_seconds": {
            name: max(0.0, speed.first_call_seconds - tokens / speed.tokens_per_second)
            for name, speed in speeds.items()
        },
    }


def _agreement(calls: Calls) -> dict[str, float]:
    """Returns the fraction of tokens on which each peer agrees with us."""
    found = {name: np.asarray(call()) for name, call in calls.items()}
    ours = found.pop("ours")
    return {name: float(np.mean(tokens == ours)) for name, tokens in found.items()}


def _loss(outcome: Any) -> float:
    """Returns the mean loss of a step; ours is a pair of sum and weight."""
    total, weight = outcome.terms["loss"] if isinstance(outcome, Outcome) else (outcome, 1.0)
    return float(total) / float(weight)


def _window(step: Callable[[], Any], outcomes: list[Any]) -> Callable[[], None]:
    """Returns one window of training, which collects the results of its steps."""

    def window() -> None:
        for _ in range(STEPS_PER_WINDOW):
            outcomes.append(step())

    return window


def _waited(window: Callable[[], Any], wait: Callable[[], Any]) -> Callable[[], None]:
    """Returns the window followed by a wait for the device."""

    def waited() -> None:
        window()
        wait()

    return waited


def _trainings(peer: Any, spec: TwinSpec, batch: Batch) -> Calls:
    """Returns the peer's training steps, eager and compiled."""
    return {
        name: peer.training(spec, batch, compiled=compiled)
        for name, compiled in {"eager": False, "compiled": True}.items()
    }


def _searches(
    peer: Any, against: str, spec: TwinSpec, prompts: Batch, *, new_tokens: int, beams: int
) -> Calls:
    """Returns the peer's generation calls by compute type."""
    settings = {"new_tokens": new_tokens, "beams": beams}
    if against == "transformers":
        return {"float32": peer.generation(peer.build(spec), prompts, **settings)}
    return {
        kind: peer.generation(peer.build(spec, compute_type=kind), prompts, **settings)
        for kind in ("float32", "int8")
    }
