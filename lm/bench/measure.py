"""Speed of a configured objective: training, scoring and generation on full-length batches."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from lm import engines
from lm.bench.peak import matmul_peak, peak_memory
from lm.bench.synthetic import synthetic_batch
from lm.decode.compiled import CompiledByShape
from lm.decode.decoding import Decoding
from lm.decode.kernel_copies import KernelCopies
from lm.decode.sampling import Decoded
from lm.engines.flops import TRAINING_PASSES, matmul_flops
from lm.types import Batch

STEPS_PER_WINDOW = 4


class Speed(NamedTuple):
    """Throughput of a kind of work, in tokens per second.

    Attributes:
        tokens_per_second: median over the windows.
        slowest: minimum over the windows.
        fastest: maximum over the windows.
        first_call_seconds: duration of the first call, which compiles.
    """

    tokens_per_second: float
    slowest: float
    fastest: float
    first_call_seconds: float


def speed(call: Callable[[], Any], *, tokens: int, windows: int) -> Speed:
    """Times a call that does its work before it returns.

    Args:
        call: one window.
        tokens: tokens processed in one window.
        windows: number of timed windows, after the first call.
    """
    return rates([timed(call) for _ in range(windows + 1)], tokens)


def rates(seconds: Sequence[float], tokens: int) -> Speed:
    """Returns the speed, given the seconds of each window; the first is excluded."""
    found = sorted(tokens / s for s in seconds[1:])
    return Speed(statistics.median(found), found[0], found[-1], seconds[0])


def timed(call: Callable[[], Any]) -> float:
    """Returns the duration of a call in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Repeated:
    """One batch repeated endlessly, as a pipeline without input wait.

    Args:
        batch: what to repeat.

    Attributes:
        wait_seconds: zero.
    """

    wait_seconds = 0.0

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __next__(self) -> Batch:
        return self.batch


class Sizes(NamedTuple):
    """Batch size, lengths and number of windows of a measurement.

    Attributes:
        rows: batch size B.
        inputs: encoder tokens per row.
        targets: decoder tokens per row.
        new_tokens: tokens to generate per prompt.
        beams: beam size; 1 is greedy search.
        windows: timed windows; of training, and of scoring beside a peer, each has
            `STEPS_PER_WINDOW` steps.
    """

    rows: int
    inputs: int
    targets: int
    new_tokens: int
    beams: int
    windows: int


def bench(*, objective: Any, optimizer: Any, sizes: Sizes, data: Any = None) -> dict[str, Any]:
    """Measures an objective and returns metrics by name.

    FLOPs are those of the matrix products of a forward pass, 2 per multiply-add; training counts
    three forward passes. `share_of_matmul_peak` is relative to the fastest matrix product in this
    process.

    Args:
        objective: an objective with a `model`.
        optimizer: the optimizer.
        sizes: batch size, lengths and number of windows.
        data: batches to train and score on, with `wait_seconds`; None repeats a synthetic batch.
    """
    rows, inputs, targets, new_tokens, beams, windows = sizes
    synthetic = synthetic_batch(objective, rows=rows, inputs=inputs, targets=targets)
    batches = Repeated(synthetic) if data is None else data
    batch = next(batches)
    engine = engines.get()(objective=objective, optimizer=optimizer, features=batch)
    tokens = rows * (targets if "decoder_input_tokens" in batch else inputs)
    flops = matmul_flops(objective, batch) // tokens
    training, waited = train_speed(engine, batches, tokens=tokens, windows=windows)
    scoring = score_speed(engine, batch, tokens=tokens, windows=windows)
    generation = generate_speed(
        objective.model, synthetic, new_tokens=new_tokens, beams=beams, windows=windows
    )
    memory = peak_memory()
    peaks = matmul_peak(keras.config.dtype_policy().compute_dtype)
    achieved = TRAINING_PASSES * flops * training.tokens_per_second
    return {
        "engine": keras.backend.backend(),
        "batch_size": rows,
        "lengths": {"inputs": inputs, "targets": targets},
        "parameters": sum(int(np.prod(w.shape)) for w in objective.trainable_variables),
        "flops_per_token": flops,
        "training": training._asdict(),
        "input_wait": None if data is None else waited,
        "training_flops_per_second": achieved,
        "matmul_flops_per_second": peaks,
        "share_of_matmul_peak": achieved / max(peaks.values()),
        "scoring": scoring._asdict(),
        "generation": generation._asdict() if generation else None,
        "peak_memory_bytes": memory,
    }


def train_speed(engine: Any, batches: Any, *, tokens: int, windows: int) -> tuple[Speed, float]:
    """Speed of training steps, and the fraction of their time spent waiting for batches.

    Compilation time is that of the first step. The fraction is the median over the windows of the
    value that `lm train` logs as `timing/input_wait`.
    """
    compiling = timed(lambda: (engine.step(next(batches)), engine.logs()))
    fractions = []

    def steps() -> None:
        for _ in range(STEPS_PER_WINDOW):
            engine.step(next(batches))
        engine.logs()  # waits for the device

    def window() -> None:
        waited = batches.wait_seconds
        seconds = timed(steps)
        fractions.append((batches.wait_seconds - waited) / seconds)

    measured = speed(window, tokens=STEPS_PER_WINDOW * tokens, windows=windows)
    return measured._replace(first_call_seconds=compiling), statistics.median(fractions[1:])


def score_speed(engine: Any, batch: Batch, *, tokens: int, windows: int) -> Speed:
    """Speed of computing the loss without gradients."""

    def window() -> list[float]:
        terms = next(engine.evaluations([batch]))
        return [float(x) for ratio in terms.values() for x in ratio]

    return speed(window, tokens=tokens, windows=windows)


def generate_speed(
    model: Any, batch: Batch, *, new_tokens: int, beams: int, windows: int
) -> Speed | None:
    """Speed of generation for the batch, prefill included; None if the model cannot generate."""
    if "decoder" not in model.sides:
        return None
    rows = len(next(iter(batch.values())))
    search = search_call(model, prompts_of(batch, new_tokens), new_tokens=new_tokens, beams=beams)
    return speed(search, tokens=rows * new_tokens, windows=windows)


def search_call(
    model: Any,
    prompts: Batch,
    *,
    new_tokens: int,
    beams: int,
    copies: KernelCopies | None = None,
) -> Callable[[], Decoded]:
    """Returns a call that generates a fixed number of tokens per prompt; none ends a sequence."""
    search = Decoding(max_new_tokens=new_tokens, beam_size=beams).search(eos_id=-1)
    compiled = CompiledByShape(model, search, copies)
    rows = len(next(iter(prompts.values())))
    inputs = prompts | {"rows": np.arange(rows, dtype="int32"), "seed": np.array(0, "int32")}
    return lambda: compiled(inputs)


def prompts_of(batch: Batch, new_tokens: int) -> Batch:
    """The encoder's inputs, or the decoder's without the last `new_tokens` positions."""
    side = "encoder" if "encoder_input_tokens" in batch else "decoder"
    width = batch[f"{side}_input_tokens"].shape[1]
    width -= new_tokens if side == "decoder" else 0
    names = (f"{side}_input_tokens", f"{side}_segment_ids")
    return {name: batch[name][:, : max(width, 1)] for name in names}
