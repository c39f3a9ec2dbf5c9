"""Generation speed with copies of the kernels in several types, in alternating windows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lm.bench.measure import Sizes, prompts_of, search_call
from lm.bench.peers import alternate
from lm.bench.synthetic import model_batch
from lm.decode.kernel_copies import KernelCopies
from lm.engines import memory


def compare_weights(
    model: Any,
    sizes: Sizes,
    *,
    copies: dict[str, KernelCopies | None],
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Returns, for each kind of copies, speed, size and the fraction of equal tokens.

    Args:
        model: built, with `start` and `step`.
        sizes: batch size and lengths.
        copies: kernel copies of each side; None for the model's own. The first is the reference.
        report: receives a line for each timed call.
    """
    rows, inputs, targets, new_tokens, beams, windows = sizes
    batch = model_batch(model, rows=rows, inputs=inputs, targets=targets)
    prompts = prompts_of(batch, new_tokens)
    calls = {
        name: search_call(model, prompts, new_tokens=new_tokens, beams=beams, copies=each)
        for name, each in copies.items()
    }
    speeds = alternate(calls, tokens=rows * new_tokens, windows=windows, report=report)
    tokens = [np.asarray(call().tokens[:, 0]) for call in calls.values()]
    return {
        name: {
            **speeds[name]._asdict(),
            "bytes": memory.size(each.variables) if each else 0,
            "same_tokens": float(np.mean(found == tokens[0])),
        }
        for (name, each), found in zip(copies.items(), tokens, strict=True)
    }
