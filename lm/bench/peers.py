"""Speed compared with another library: the same work in alternating windows of one process."""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from lm.objectives.objective import Ratio
from lm.types import Batch

PEERS = ("transformers", "ctranslate2")
PAUSE = 0.3  # seconds, until the other library's spinning threads go to sleep

Calls = dict[str, Callable[[], Any]]
Report = Callable[[str], None]


class Comparison(NamedTuple):
    """What our model and a peer's do side by side.

    Attributes:
        model: ours.
        engine: trains and scores it.
        peer: the module of the other library.
        spec: description of our model for the peer.
        batch: synthetic rows of full length.
        sizes: batch size, lengths and number of windows.
        weights: types of the kernel copies in our search, as in `own_weights.copies_of`.
        report: receives a line for each timed call.
    """

    model: Any
    engine: Any
    peer: Any
    spec: TwinSpec
    batch: Batch
    sizes: Sizes
    weights: str
    report: Report


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
        only: one of `WORKS`, or None for everything that model and peer support.
        weights: types of the kernel copies in our search, as in `own_weights.copies_of`.
        report: receives a line for each timed call.

    Raises:
        UserError: the peer is not installed, or does not support this model or kind of work.
    """
    peer = load(against)
    works = _possible(objective.model, peer, against, only)
    batch = synthetic_batch(objective, rows=sizes.rows, inputs=sizes.inputs, targets=sizes.targets)
    engine = engines.get()(objective=objective, optimizer=optimizer, features=batch)
    spec = twin_spec(objective, batch)
    side_by_side = Comparison(objective.model, engine, peer, spec, batch, sizes, weights, report)
    return {
        "against": against,
        "model_type": spec.model_type,
        "rows": sizes.rows,
        "parameters": sum(tensor.size for tensor in spec.weights.values()),
        **{work: WORKS[work](side_by_side) for work in works},
    }


def _possible(model: Any, peer: Any, against: str, only: str | None) -> list[str]:
    """Returns the kinds of work that both the model and the peer can do, or the one asked for."""
    works = [work for work in WORKS if hasattr(peer, work)]
    if "decoder" not in model.sides:
        works.remove("generation")
    if not works or only not in (None, *works):
        known = ", ".join(works) or "nothing"
        raise UserError(f"--against={against} measures {known} of this model, not {only or 'that'}")
    return [only] if only else works


def generation(x: Comparison) -> dict[str, Any]:
    """Compares the search for a fixed number of tokens per prompt, prefill included."""
    settings = {"new_tokens": x.sizes.new_tokens, "beams": x.sizes.beams}
    prompts, copies = prompts_of(x.batch, x.sizes.new_tokens), copies_of(x.model, x.weights)
    ours = search_call(x.model, prompts, copies=copies, **settings)
    calls = {"ours": lambda: ours().tokens[:, 0], **x.peer.generation(x.spec, prompts, **settings)}
    tokens = x.sizes.rows * x.sizes.new_tokens
    speeds = alternate(calls, tokens=tokens, windows=x.sizes.windows, report=x.report)
    return {**settings, "same_tokens": _agreement(calls), **_ratios(speeds, tokens)}


def scoring(x: Comparison) -> dict[str, Any]:
    """Compares the loss of the rows, without gradients."""
    ours = {"ours": lambda: _mean(next(x.engine.evaluations([x.batch]))["loss"])}
    return _losses(x, {**ours, **x.peer.scoring(x.spec, x.batch)})


def training(x: Comparison) -> dict[str, Any]:
    """Compares training steps with AdamW."""
    steps = {"ours": lambda: x.engine.step(x.batch), **x.peer.training(x.spec, x.batch)}
    return _losses(x, steps, wait=x.engine.logs)


# Training is last: it changes the weights.
WORKS = {"generation": generation, "scoring": scoring, "training": training}


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


def _losses(x: Comparison, steps: Calls, wait: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    """Times windows of steps that return a loss; ours end with a wait for the device."""
    outcomes: dict[str, list[Any]] = {name: [] for name in steps}
    calls = {name: _window(step, outcomes[name]) for name, step in steps.items()}
    calls["ours"] = _waited(calls["ours"], wait)
    length = x.sizes.targets if "decoder" in x.model.sides else x.sizes.inputs
    tokens = STEPS_PER_WINDOW * x.sizes.rows * length
    speeds = alternate(calls, tokens=tokens, windows=x.sizes.windows, report=x.report)
    losses = {name: _loss(each[0]) for name, each in outcomes.items()}
    return {"first_loss": losses, **_ratios(speeds, tokens)}


def _loss(outcome: Any) -> float:
    """Returns the loss of a step: the mean of our terms, or what a peer returns."""
    return _mean(outcome.terms["loss"]) if isinstance(outcome, Outcome) else float(outcome)


def _mean(ratio: Ratio) -> float:
    """Returns a sum divided by its weight, after the device has computed both."""
    total, weight = ratio
    return float(total) / float(weight)


def _window(step: Callable[[], Any], outcomes: list[Any]) -> Callable[[], None]:
    """Returns one window, which collects the results of its steps."""

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
