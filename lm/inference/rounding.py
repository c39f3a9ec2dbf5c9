"""Compares narrow weights with float32 on a task: perplexity, greedy tokens and speed."""

import math
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from lm.inference.evaluate import EvaluationResult
from lm.inference.generate import Generated, Prompt, generate
from lm.inference.trained import Trained

_PROMPTS, _PROMPT_TOKENS, _NEW_TOKENS = 8, 32, 32


def beside_float32(
    narrow: Trained, wide: Trained, found: EvaluationResult, reference: EvaluationResult
) -> EvaluationResult:
    """Returns a result with metrics for the effect of the rounding added.

    These are `float32_loss`; `perplexity_change`, `exp(loss - float32_loss) - 1` in percent; and,
    from greedy search for the first prompts of the task one by one, the share of
    `equal_greedy_tokens` in percent and the tokens per second of both models.

    Args:
        narrow: the model with rounded weights.
        wide: the same model with float32 weights.
        found: the result of the first on a task.
        reference: the result of the second.
    """
    loss, before = found.metrics["loss"], reference.metrics["loss"]
    added = {"float32_loss": before, "perplexity_change": 100 * math.expm1(loss - before)}
    if narrow.has_decoder and not narrow.predicts_labels:
        added |= greedy_metrics(narrow, wide, first_prompts(narrow, found))
    return found._replace(metrics={**found.metrics, **added})


def greedy_metrics(narrow: Trained, wide: Trained, prompts: Sequence[Prompt]) -> dict[str, float]:
    """Returns the fraction of equal tokens, and the speed of both models."""
    texts, rate = written(narrow, prompts)
    others, before = written(wide, prompts)
    pairs = [pair for both in zip(texts, others, strict=True) for pair in zip_longest(*both)]
    return {
        "equal_greedy_tokens": 100 * sum(a == b for a, b in pairs) / max(len(pairs), 1),
        "greedy_tokens_per_second": rate,
        "float32_greedy_tokens_per_second": before,
    }


def written(trained: Trained, prompts: Sequence[Prompt]) -> tuple[list[list[int]], float]:
    """Returns the greedy tokens for each prompt, and tokens per second."""

    def search() -> Generated:
        settings: dict[str, Any] = {"max_new_tokens": _NEW_TOKENS, "batch_size": 1}
        return generate(trained=trained, prompts=prompts, **settings)

    search()  # compiles
    started = time.perf_counter()
    tokens = [found[0].tokens for found in search().candidates]
    return tokens, sum(map(len, tokens)) / (time.perf_counter() - started)


def first_prompts(trained: Trained, found: EvaluationResult) -> list[list[int]]:
    """Returns the first inputs of a task; for a language model prefixes of the first texts."""
    if trained.input_format.has_inputs:
        longest = trained.lengths.get("inputs")
        return [trained.prompt_ids(text)[:longest] for text in found.columns["inputs"][:_PROMPTS]]
    texts = [text[: len(text) // 2] for text in found.columns["targets"][:_PROMPTS]]
    return [trained.prompt_ids(text)[:_PROMPT_TOKENS] for text in texts]
