"""Generates texts for prompts: the entry function of `lm generate`, `generate.generate` in gin."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lm.decode.decoding import Decoding
from lm.decode.generator import Generator, Hypothesis, Stream, can_stream
from lm.inference.trained import Trained
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, Seed

Prompt = str | Sequence[int]


class Candidate(NamedTuple):
    """A generated text.

    Attributes:
        text: without the prompt and the end token.
        tokens: ids, including the end token if the text is finished.
        log_prob: log-probability of the tokens under the model.
        score: candidates are ordered by it; in beam search it includes the length penalty.
    """

    text: str
    tokens: list[int]
    log_prob: float
    score: float


class Generated(NamedTuple):
    """The candidates for each prompt, best first, and the settings of the search."""

    candidates: list[list[Candidate]]
    decoding: dict[str, Any]


@part
def generate(  # noqa: PLR0913 - the settings of a search
    *,
    trained: Trained,
    prompts: Sequence[Prompt],
    max_new_tokens: PositiveInt = 128,
    beam_size: PositiveInt = 1,
    alpha: NonNegativeFloat = 0.0,
    temperature: NonNegativeFloat | None = None,
    top_k: PositiveInt | None = None,
    top_p: NonNegativeFloat | None = None,
    num_samples: PositiveInt = 1,
    seed: Seed = 0,
    batch_size: PositiveInt = 16,
    on_text: Callable[[str], None] | None = None,
) -> Generated:
    """Returns texts for prompts, in the order of the prompts.

    Models with inputs and targets (encoder-decoders, prefix and conditional language models) answer
    a prompt; a language model continues it.

    Args:
        trained: the model.
        prompts: texts, or ids as the model reads them.
        max_new_tokens: length limit in tokens.
        beam_size: beam width; all hypotheses of the beam are returned, best first.
        alpha: exponent of the length penalty in beam search; 0.6 is usual for translation.
        temperature: of sampling; None or 0 takes the most probable token.
        top_k: sample from this many tokens.
        top_p: sample from the tokens that hold this probability mass.
        num_samples: samples per prompt, returned in order of probability.
        seed: of sampling; results do not depend on the batches.
        batch_size: prompts in a batch; affects only speed.
        on_text: for a single prompt, called with each new part of the text, or once with the best
            text if several are compared.

    Raises:
        UserError: settings contradict each other, or a prompt is too long.
    """
    decoding = Decoding(
        max_new_tokens=max_new_tokens,
        beam_size=beam_size,
        alpha=alpha,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        num_samples=num_samples,
    )
    settings = decoding.settings() | ({"seed": seed} if decoding.samples else {})
    ids = [prompt_ids(trained, prompt) for prompt in prompts]
    generator = trained.generator(decoding, batch_size)
    if on_text and len(ids) == 1 and can_stream(generator.search):
        found = [[stream(trained, generator, ids[0], seed=seed, on_text=on_text)]]
        on_text = None
    else:
        found = generator(ids, seed=seed)
    candidates = [
        [candidate(trained, prompt, hypothesis) for hypothesis in hypotheses]
        for prompt, hypotheses in zip(ids, found, strict=True)
    ]
    if on_text and candidates and candidates[0]:
        on_text(candidates[0][0].text)
    return Generated(candidates, settings)


def stream(
    trained: Trained,
    generator: Generator,
    prompt: Sequence[int],
    *,
    seed: int,
    on_text: Callable[[str], None],
) -> Hypothesis:
    """Returns the text for a prompt; passes every new part to `on_text` at once."""
    hypothesis, shown = Hypothesis([], 0.0, 0.0), ""
    for hypothesis in Stream(generator)(prompt, seed=seed):
        # Hold back a character whose last bytes are not generated yet.
        text = continuation(trained, prompt, hypothesis.tokens).rstrip("\N{REPLACEMENT CHARACTER}")
        if text.startswith(shown):
            on_text(text[len(shown) :])
            shown = text
    return hypothesis


def prompt_ids(trained: Trained, prompt: Prompt) -> list[int]:
    """Returns the ids of a prompt."""
    return trained.prompt_ids(prompt) if isinstance(prompt, str) else list(prompt)


def candidate(trained: Trained, prompt: Sequence[int], found: Hypothesis) -> Candidate:
    """Returns a hypothesis as text."""
    text = continuation(trained, prompt, found.tokens)
    return Candidate(text, found.tokens, found.log_prob, found.score)


def continuation(trained: Trained, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """Returns new tokens as text; a continuation keeps its leading space."""
    if trained.input_format.has_inputs:
        return trained.text(tokens)
    prefix, text = trained.text(prompt), trained.text([*prompt, *tokens])
    return text[len(prefix) :] if text.startswith(prefix) else trained.text(tokens)
