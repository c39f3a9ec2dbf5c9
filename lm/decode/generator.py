"""Runs a search on prompts of any length and order, with few compilations."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from lm.decode.compiled import CompiledByShape
from lm.decode.kernel_copies import KernelCopies
from lm.decode.model_inputs import PromptPacker, Prompts, bucket
from lm.decode.sampling import Decoded, Sampling, SamplingState
from lm.errors import UserError
from lm.types import Batch, Features


class SearchStrategy(Protocol):
    """`sampling.Sampling` or `beam.BeamSearch`."""

    max_new_tokens: int

    def __call__(self, model: Any, inputs: Features) -> Decoded:
        """Returns N sequences for each of B prompts."""


class Hypothesis(NamedTuple):
    """A sequence that a search found for a prompt.

    Attributes:
        tokens: ids, including the end token if the sequence is finished.
        log_prob: log-probability of the tokens under the model.
        score: the hypotheses of a prompt are ordered by it.
    """

    tokens: list[int]
    log_prob: float
    score: float


class Generator:
    """Runs a search on batches of prompts of similar length.

    Compiled once for each combination of rows and padded width.

    Args:
        model: has `start` and `step`; built.
        search: greedy search, sampling or beam search.
        packer: makes the model's features of prompts, as in `lm.decode.model_inputs`.
        batch_size: maximum number of prompts in a batch.
        max_prompt_length: maximum positions of a padded prompt; None if there is no limit.
        copies: narrow copies of the model's kernels; None uses the model's own.
    """

    def __init__(
        self,
        *,
        model: Any,
        search: SearchStrategy,
        packer: PromptPacker,
        batch_size: int,
        max_prompt_length: int | None = None,
        copies: KernelCopies | None = None,
    ) -> None:
        self.model = model
        self.search = search
        self.packer = packer
        self.batch_size = batch_size
        self.max_prompt_length = max_prompt_length
        self.copies = copies
        self._search = CompiledByShape(model, search, copies)

    def __call__(self, prompts: Prompts, *, seed: int = 0) -> list[list[Hypothesis]]:
        """Returns the hypotheses for each prompt, best first; a beam may find fewer than K.

        Args:
            prompts: token ids.
            seed: of the sampling; the noise of a prompt depends on it and on the prompt's index in
                `prompts`, not on the batches.

        Raises:
            UserError: a prompt is too long for the model.
        """
        self.check(prompts)
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        found: list[list[Hypothesis]] = [[] for _ in prompts]
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            decoded = self._search(self.batch(prompts, indices, seed))
            for row, index in enumerate(indices):
                found[index] = hypotheses(decoded, row)
        return found

    def batch(self, prompts: Prompts, indices: Sequence[int], seed: int) -> Batch:
        """Returns the inputs of a search for the prompts at these indices."""
        # Round the number of rows up to a power of two with copies of the first prompt: they finish
        # together with it and cost no extra steps.
        rows = min(self.batch_size, 1 << (len(indices) - 1).bit_length())
        filled = [*indices, *[indices[0]] * (rows - len(indices))]
        chosen = [prompts[index] for index in filled]
        return {
            **self.packer(chosen, self.width(chosen)),
            "rows": np.array(filled, "int32"),
            "seed": np.array(seed, "int32"),
        }

    def width(self, prompts: Prompts) -> int:
        """Returns the padded width for these prompts."""
        width = bucket(max(self.prompt_length(prompt) for prompt in prompts))
        return width if self.max_prompt_length is None else min(width, self.max_prompt_length)

    def prompt_length(self, prompt: Sequence[int]) -> int:
        """Returns the positions that a prompt takes, including a start token; at least 1."""
        has_start = "decoder_input_tokens" in self.packer([[]], 1)
        return max(len(prompt) + has_start, 1)

    def check(self, prompts: Prompts) -> None:
        """Refuses prompts that are too long."""
        if self.max_prompt_length is None:
            return
        for number, prompt in enumerate(prompts, 1):
            if self.prompt_length(prompt) > self.max_prompt_length:
                raise UserError(
                    f"prompt {number} has {len(prompt)} tokens; with max_new_tokens = "
                    f"{self.search.max_new_tokens} the model has only {self.max_prompt_length} "
                    "positions for it: shorten the prompt or lower max_new_tokens"
                )


def hypotheses(decoded: Decoded, row: int) -> list[Hypothesis]:
    """Returns the hypotheses of a row; empty entries of a beam search are dropped."""
    return [
        Hypothesis(
            tokens=decoded.tokens[row, n, : decoded.lengths[row, n]].tolist(),
            log_prob=float(decoded.log_probs[row, n]),
            score=float(score),
        )
        for n, score in enumerate(decoded.scores[row])
        if np.isfinite(score)
    ]


def can_stream(search: SearchStrategy) -> bool:
    """Returns whether a search generates a single sequence from left to right."""
    return isinstance(search, Sampling) and search.num_samples == 1


class Stream:
    """Generates one sequence in chunks of a few steps, for output during generation.

    Args:
        generator: its search is `sampling.Sampling` with one sequence per prompt.
        chunk: tokens per call.
    """

    def __init__(self, generator: Generator, *, chunk: int = 8) -> None:
        search = generator.search
        if not can_stream(search):
            raise UserError("only greedy search and sampling of one text can stream")
        assert isinstance(search, Sampling)
        self.generator = generator
        self.chunk = chunk
        self.max_new_tokens = search.max_new_tokens
        model, copies = generator.model, generator.copies
        self.begin: Callable[..., SamplingState] = CompiledByShape(model, search.begin, copies)
        self.advance: Callable[..., SamplingState] = CompiledByShape(
            model, lambda model, x: search.advance(model, x["state"], x["until"]), copies
        )

    def __call__(self, prompt: Sequence[int], *, seed: int = 0) -> Iterator[Hypothesis]:
        """Yields the sequence so far after each call, until it is finished."""
        self.generator.check([prompt])
        state = self.begin(self.generator.batch([prompt], [0], seed))
        while state.step < self.max_new_tokens and not state.is_finished.all():
            until = min(int(state.step) + self.chunk, self.max_new_tokens)
            state = self.advance({"state": state, "until": np.array(until, "int32")})
            tokens = state.tokens[0, : state.lengths[0]].tolist()
            log_prob = float(state.log_probs[0])
            yield Hypothesis(tokens, log_prob, score=log_prob)
