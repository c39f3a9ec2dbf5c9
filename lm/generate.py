"""Texts for prompts: the entry function of `lm generate`, `generate.generate` in gin."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lm.decode.decoding import Decoding
from lm.decode.generator import Generator, Hypothesis, Stream, can_stream
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, Seed
from lm.trained import Trained

Prompt = str | Sequence[int]


class Candidate(NamedTuple):
    """One text for a prompt.

    Attributes:
        text: without the prompt and the end token.
        tokens: ids, the end token included if the text has ended.
        log_prob: log-probability of the tokens under the model.
        score: what candidates are ordered by; with a beam, by length penalty.
    """

    text: str
    tokens: list[int]
    log_prob: float
    score: float


class Generated(NamedTuple):
    """The candidates of each prompt, the best first, and the settings that made them."""

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

    An encoder-decoder reads a prompt and answers, a prefix language model too; a decoder-only
    language model goes on with it.

    Args:
        trained: the model.
        prompts: texts, or ids as the model reads them.
        max_new_tokens: longest text, in tokens.
        beam_size: width of a beam; all its texts are returned, the best first.
        alpha: exponent of the beam's length penalty, 0.6 is usual for translation.
        temperature: of sampling; None or 0 takes the most probable token.
        top_k: tokens to draw from.
        top_p: probability mass to draw from.
        num_samples: texts drawn for each prompt, the most probable first.
        seed: of sampling; the same seed gives the same texts, whatever the batches.
        batch_size: prompts that are read at a time; changes nothing but speed.
        on_text: called with each piece of the text for one prompt, as soon as it is made; with the
            best text as a whole where several are compared.

    Raises:
        UserError: settings exclude each other, or a prompt is too long.
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
    facts = decoding.settings() | ({"seed": seed} if decoding.samples else {})
    ids = [tokens_of(trained, prompt) for prompt in prompts]
    generator = trained.generator(decoding, batch_size)
    if on_text and len(ids) == 1 and can_stream(generator.search):
        found = [[streamed(trained, generator, ids[0], seed=seed, on_text=on_text)]]
        on_text = None
    else:
        found = generator(ids, seed=seed)
    candidates = [
        [candidate(trained, prompt, text) for text in texts]
        for prompt, texts in zip(ids, found, strict=True)
    ]
    if on_text and candidates and candidates[0]:
        on_text(candidates[0][0].text)
    return Generated(candidates, facts)


def streamed(
    trained: Trained,
    generator: Generator,
    prompt: Sequence[int],
    *,
    seed: int,
    on_text: Callable[[str], None],
) -> Hypothesis:
    """Returns the text for a prompt, each piece handed on as soon as it is made."""
    text, shown = Hypothesis([], 0.0, 0.0), ""
    for text in Stream(generator)(prompt, seed=seed):
        # A character may still lack bytes; it is shown once they have come.
        whole = continuation(trained, prompt, text.tokens).rstrip("\N{REPLACEMENT CHARACTER}")
        if whole.startswith(shown):
            on_text(whole[len(shown) :])
            shown = whole
    return text


def tokens_of(trained: Trained, prompt: Prompt) -> list[int]:
    """Returns the ids of a prompt."""
    return trained.prompt_ids(prompt) if isinstance(prompt, str) else list(prompt)


def candidate(trained: Trained, prompt: Sequence[int], text: Hypothesis) -> Candidate:
    """Returns a candidate as text."""
    written = continuation(trained, prompt, text.tokens)
    return Candidate(written, text.tokens, text.log_prob, text.score)


def continuation(trained: Trained, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """Returns the text of new tokens; of a continuation, with the space that may begin it."""
    if trained.reader.reads_inputs:
        return trained.text(tokens)
    before, whole = trained.text(prompt), trained.text([*prompt, *tokens])
    return whole[len(before) :] if whole.startswith(before) else trained.text(tokens)
