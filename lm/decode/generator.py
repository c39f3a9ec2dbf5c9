"""From prompts in any order and of any length to texts, by few compiled programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from lm.decode.compiled import Programs
from lm.decode.loop import Decoded, Progress, Sampling
from lm.decode.prompts import Maker, Prompts, bucket
from lm.errors import UserError


class Search(Protocol):
    """`loop.Sampling` or `beam.BeamSearch`."""

    max_new_tokens: int

    def __call__(self, model: Any, inputs: Mapping[str, Any]) -> Decoded:
        """Returns N texts for each of B prompts."""


class Text(NamedTuple):
    """One text.

    Attributes:
        tokens: ids, the end token included if the text has ended.
        log_prob: log-probability of the tokens under the model.
        score: what the texts of one prompt are ordered by.
    """

    tokens: list[int]
    log_prob: float
    score: float


class Generator:
    """Searches for texts in batches of prompts of similar length.

    Compiled once for each (rows, padded width): another prompt in the same bucket compiles
    nothing.

    Args:
        model: has `start` and `step`; built.
        search: what to do with it.
        features: maker of the model's features, of `lm.decode.prompts`.
        batch_size: most prompts in a batch.
        longest: most positions of a padded prompt the model has room for; None if any.
    """

    def __init__(
        self,
        *,
        model: Any,
        search: Search,
        features: Maker,
        batch_size: int,
        longest: int | None = None,
    ) -> None:
        self.features = features
        self.search = search
        self.batch_size = batch_size
        self.longest = longest
        self.programs = Programs(model, search)

    def __call__(self, prompts: Prompts, *, seed: int = 0) -> list[list[Text]]:
        """Returns the texts for each prompt, the best first; empty for a text never found.

        Args:
            prompts: token ids.
            seed: of the sampling; the noise of a prompt follows from it and from the prompt's
                place in `prompts`, whatever the batches.

        Raises:
            UserError: a prompt is too long for the model.
        """
        self.check(prompts)
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        texts: list[list[Text]] = [[] for _ in prompts]
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            decoded = self.programs(self.batch(prompts, places, seed))
            for row, place in enumerate(places):
                texts[place] = texts_of(decoded, row)
        return texts

    def batch(self, prompts: Prompts, places: Sequence[int], seed: int) -> dict[str, np.ndarray]:
        """Returns the inputs of a search for the prompts at these places."""
        # Rows come in powers of two; copies of a real prompt end with it, and cost no step.
        rows = min(self.batch_size, 1 << (len(places) - 1).bit_length())
        filled = [*places, *[places[0]] * (rows - len(places))]
        chosen = [prompts[place] for place in filled]
        return {
            **self.features(chosen, self.width(chosen)),
            "rows": np.array(filled, "int32"),
            "seed": np.array(seed, "int32"),
        }

    def width(self, prompts: Prompts) -> int:
        """Returns the padded width for these prompts."""
        longest = max(self.needed(prompt) for prompt in prompts)
        return bucket(longest) if self.longest is None else min(bucket(longest), self.longest)

    def needed(self, prompt: Sequence[int]) -> int:
        """Returns the positions a prompt takes, a start token included; at least 1."""
        marks = [name for name in self.features([[]], 1) if name == "decoder_input_tokens"]
        return max(len(prompt) + len(marks), 1)

    def check(self, prompts: Prompts) -> None:
        """Refuses prompts that are too long."""
        if self.longest is None:
            return
        for number, prompt in enumerate(prompts, 1):
            if self.needed(prompt) > self.longest:
                raise UserError(
                    f"prompt {number} has {len(prompt)} tokens; beside max_new_tokens = "
                    f"{self.search.max_new_tokens} the model has {self.longest} positions for it: "
                    "shorten the prompt or lower max_new_tokens"
                )


def texts_of(decoded: Decoded, row: int) -> list[Text]:
    """Returns the texts of one row; a beam search may have found fewer than it had beams."""
    return [
        Text(
            tokens=decoded.tokens[row, n, : decoded.lengths[row, n]].tolist(),
            log_prob=float(decoded.log_probs[row, n]),
            score=float(score),
        )
        for n, score in enumerate(decoded.scores[row])
        if np.isfinite(score)
    ]


def can_stream(search: Search) -> bool:
    """Tells whether a search makes one text, from its first token to its last."""
    return isinstance(search, Sampling) and search.num_samples == 1


class Stream:
    """Writes one text piece by piece: a few steps per compiled call, the state handed on.

    Args:
        generator: whose search is `loop.Sampling` with one text per prompt.
        chunk: tokens per call.
    """

    def __init__(self, generator: Generator, *, chunk: int = 8) -> None:
        search = generator.search
        if not can_stream(search):
            raise UserError("only greedy search and sampling of one text can stream")
        assert isinstance(search, Sampling)
        self.generator = generator
        self.chunk = chunk
        self.limit = search.max_new_tokens
        model = generator.programs.model
        self.begin: Callable[..., Progress] = Programs(model, search.begin)
        self.advance: Callable[..., Progress] = Programs(
            model, lambda model, x: search.advance(model, x["progress"], x["until"])
        )

    def __call__(self, prompt: Sequence[int], *, seed: int = 0) -> Iterator[Text]:
        """Yields the text so far, time and again, until it has ended."""
        self.generator.check([prompt])
        progress = self.begin(self.generator.batch([prompt], [0], seed))
        while progress.count < self.limit and not progress.is_ended.all():
            until = min(int(progress.count) + self.chunk, self.limit)
            inputs = {"progress": progress, "until": np.array(until, "int32")}
            progress = self.advance(inputs)
            tokens = progress.tokens[0, : progress.lengths[0]].tolist()
            log_prob = float(progress.log_probs[0])
            yield Text(tokens, log_prob, score=log_prob)
