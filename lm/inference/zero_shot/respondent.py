"""The three requests of an evaluation: log-likelihood, rolling log-likelihood and generation.

Suites and lm-evaluation-harness use the same object, so they get the same numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lm.decode.model_inputs import START, Pair
from lm.inference.generate import Generated, generate
from lm.inference.score import score_pairs
from lm.inference.trained import Trained
from lm.inference.zero_shot.likelihoods import Query, TokenScores, token_scores


class Request(NamedTuple):
    """A context, and a continuation to score."""

    context: str
    continuation: str


class LogLikelihood(NamedTuple):
    """The log-likelihood of a continuation.

    Attributes:
        value: Σ log p(token), in nats.
        is_greedy: whether every token is the most probable one.
        tokens: number of tokens.
    """

    value: float
    is_greedy: bool
    tokens: int


class Answers(NamedTuple):
    """A generated text for each prompt, and the settings of the search."""

    texts: list[str]
    decoding: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Respondent:
    """A model that answers requests.

    Attributes:
        trained: a model, or an average of several.
        batch_size: continuations or prompts per batch; affects only speed.
        generation: generates texts; by default `generate.generate` as it is without gin.
    """

    trained: Trained
    batch_size: int = 16
    generation: Callable[..., Generated] = generate

    def log_likelihoods(self, requests: Sequence[Request]) -> list[LogLikelihood]:
        """Returns the log-likelihood of each continuation after its context.

        A context that is too long is truncated on the left.
        """
        scores = self.scores([query(self.trained, request) for request in requests])
        return [
            LogLikelihood(
                value=float(np.sum(one.log_probs, dtype="float64")),
                is_greedy=bool(one.is_greedy.all()),
                tokens=len(one.log_probs),
            )
            for one in scores
        ]

    def fits(self, context: str, continuation: str) -> bool:
        """Returns whether a context is read as a whole before a continuation."""
        ids, tokens = encoded(self.trained, Request(context, continuation))
        return shortened(self.trained, ids, len(tokens)) == ids

    def scores(self, queries: Sequence[Query]) -> list[TokenScores]:
        """Returns the scores of the tokens of continuations."""
        return token_scores(self.trained, queries, batch_size=self.batch_size)

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns the log-likelihood of each text; long texts are read in windows.

        A model with a carry reads a text as a whole. With an encoder or a prefix, inputs are empty
        and each window of targets is scored independently.
        """
        ids = [self.trained.ids(text, "targets", add_eos=False) for text in texts]
        if self.trained.is_carried:
            pairs: list[Pair] = [([], tokens) for tokens in ids]
            return score_pairs(self.trained, pairs, batch_size=self.batch_size)[:, 0].tolist()
        read = [list(_windows(self.trained, tokens)) for tokens in ids]
        scores = iter(self.scores([query for queries in read for query in queries]))
        return [
            float(sum(np.sum(next(scores).log_probs, dtype="float64") for _ in queries))
            for queries in read
        ]

    def generate(self, prompts: Sequence[str], *, stop: Sequence[str], **settings: Any) -> Answers:
        """Returns a text for each prompt, the best one, up to the first stop text.

        Args:
            prompts: prompts; one that is too long is truncated on the left.
            stop: texts that end generation.
            settings: settings of `generate.generate`.
        """
        new = settings.setdefault("max_new_tokens", 256)
        most = self.trained.lengths["targets"] // (1 if self.trained.input_format.has_inputs else 2)
        settings["max_new_tokens"] = new = min(new, max(most, 1))
        ids = [shortened(self.trained, self.trained.prompt_ids(prompt), new) for prompt in prompts]
        found = self.generation(
            trained=self.trained, prompts=ids, batch_size=self.batch_size, **settings
        )
        texts = [until(best[0].text if best else "", stop) for best in found.candidates]
        return Answers(texts, found.decoding)


def query(run: Trained, request: Request) -> Query:
    """Returns a request as token ids; a context that is too long is truncated on the left."""
    context, tokens = encoded(run, request)
    return Query(tuple(shortened(run, context, len(tokens))), tuple(tokens))


def encoded(run: Trained, request: Request) -> tuple[list[int], list[int]]:
    """Returns the token ids of a context and of a continuation.

    For a language model, spaces at the end of the context belong to the continuation; both are
    encoded as one text, which is split at the length of the encoded context. Other models encode
    inputs and targets separately, with their end tokens, as in training.
    """
    context, continuation = request
    if run.input_format.has_inputs:
        tokens = run.ids(continuation.lstrip(" ") or continuation, "targets")
        return run.prompt_ids(context), tokens
    shorter = context.rstrip(" ")
    continuation = context[len(shorter) :] + continuation
    both = run.ids(shorter + continuation, "targets", add_eos=False)
    border = min(len(run.ids(shorter, "targets", add_eos=False)), max(len(both) - 1, 0))
    return both[:border], both[border:]


def shortened(run: Trained, context: list[int], more: int) -> list[int]:
    """Returns a context truncated on the left, to leave room for `more` tokens."""
    if run.input_format.has_inputs:
        return context[-run.lengths["inputs"] :]
    if run.is_carried:
        return context
    return context[max(len(context) + more - run.lengths["targets"], 0) :]


def _windows(run: Trained, tokens: Sequence[int]) -> Iterator[Query]:
    """Yields the windows of a text in the form in which the model reads them."""
    for context, continuation in windows(tokens, run.lengths["targets"]):
        if run.input_format.has_inputs:
            yield Query(tuple(run.prompt_ids("")), tuple(continuation))
        else:  # a token of the context takes the place of the decoder's start token
            first, *rest = [*context] or [START]
            yield Query(tuple(rest), tuple(continuation), first)


def windows(tokens: Sequence[int], length: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Yields pairs of context and continuation that score every token once, `length` at a time.

    The last window has full length and scores only the remaining tokens.

    Example:
        >>> list(windows(range(10), 4))
        [([], range(0, 4)), (range(3, 4), range(4, 8)), (range(5, 8), range(8, 10))]
    """
    yield [], tokens[:length]
    for done in range(length, len(tokens), length):
        end = min(done + length, len(tokens))
        yield tokens[end - length - 1 : done], tokens[done:end]


def until(text: str, stop: Sequence[str]) -> str:
    r"""Returns a text up to the first occurrence of a stop text.

    Example:
        >>> until("4\nInput: 3", ["Input", "\n"])
        '4'
    """
    ends = [found for one in stop if one and (found := text.find(one)) >= 0]
    return text[: min(ends, default=len(text))]
