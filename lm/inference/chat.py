"""Answers in a conversation: the entry function of `lm chat`, `chat.reply` in gin."""

import re
import sys
from collections.abc import Sequence

from lm.data.user_tasks.dialog import Write, one_a_line
from lm.inference.generate import Candidate, generate
from lm.inference.trained import Trained
from lm.parts import entry
from lm.ranges import NonNegativeFloat, PositiveInt, Seed


@entry
def reply(  # noqa: PLR0913 - the settings of a search
    *,
    trained: Trained,
    turns: Sequence[str],
    max_turns: PositiveInt = 7,
    write: Write = one_a_line,
    num_samples: PositiveInt = 20,
    temperature: NonNegativeFloat = 0.88,
    top_k: PositiveInt | None = 40,
    max_new_tokens: PositiveInt = 128,
    shared_words: PositiveInt = 5,
    seed: Seed = 0,
) -> Candidate:
    """Returns the most probable sample that does not repeat an earlier turn (sample-and-rank).

    If all of them repeat one, the most probable is returned.

    Args:
        trained: the model; an encoder-decoder answers, a language model continues with a line.
        turns: of the conversation; the last one is answered.
        max_turns: how many of the last turns the model reads; fewer if they are longer than its
            rows in training.
        write: how they are formatted, as in the training data: `dialog.one_a_line` or
            `dialog.by_name`.
        num_samples: N.
        temperature: of sampling.
        top_k: tokens to draw from.
        max_new_tokens: longest answer, in tokens.
        shared_words: an answer that shares this many consecutive words with an earlier turn repeats
            it; a shorter answer if the turn contains all of it.
        seed: of the sampling; different for every turn.

    Source: Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977), sections 3.4 and 7: N = 20,
    T = 0.88, k = 40. Departures: the definition of a repetition, which the paper leaves open.
    """
    most = longest_prompt(trained, max_new_tokens)
    generated = generate(
        trained=trained,
        prompts=[prompt_ids(trained, turns[-max_turns:], write, most)],
        num_samples=num_samples,
        temperature=temperature,
        top_k=top_k,
        max_new_tokens=max_new_tokens,
        seed=seed + len(turns),
    )
    answers = [one._replace(text=first_line(one.text)) for one in generated.candidates[0]]
    fresh = (one for one in answers if one.text and not repeats(one.text, turns, shared_words))
    return next(fresh, answers[0])


def longest_prompt(trained: Trained, max_new_tokens: int) -> int:
    """Returns how many tokens of turns a model reads: a row of its training at most.

    Turns and answer share the row of a language model; turns have at least half of it.
    """
    limits = [trained.max_prompt_length(max_new_tokens)]
    if trained.input_format.has_inputs:
        limits.append(trained.lengths["inputs"])
    elif not trained.is_carried:
        row = trained.lengths["targets"]
        limits.append(row - min(max_new_tokens, row // 2))
    return min((limit for limit in limits if limit is not None), default=sys.maxsize)


def prompt_ids(trained: Trained, turns: Sequence[str], write: Write, most: int) -> list[int]:
    """Returns the ids of as many of the last turns as fit; of a longer last turn, its end.

    Args:
        trained: the model.
        turns: turns; the last one is answered.
        write: how they are formatted.
        most: maximum number of ids.
    """

    def ids(first: int) -> list[int]:
        prompt = write(turns[first:])
        if not trained.input_format.has_inputs:
            prompt += "" if prompt.endswith(":") else "\n"
        return trained.prompt_ids(prompt)

    last = len(turns) - 1
    fitting = (found for first in range(last) if len(found := ids(first)) <= most)
    return next(fitting, ids(last)[-most:])


def first_line(text: str) -> str:
    r"""Returns the first non-empty line of a text.

    Example:
        >>> first_line(" \n Hello. \nuser: Hi")
        'Hello.'
    """
    return text.strip().partition("\n")[0].strip()


def repeats(text: str, turns: Sequence[str], shared_words: int) -> bool:
    """Returns whether a turn shares that many consecutive words with a text, or contains all of it.

    Example:
        >>> turns = ["I like to swim in the sea.", "Oh, nice!"]
        >>> repeats("We like to swim in the lake.", turns, 5), repeats("oh, nice!", turns, 5)
        (True, True)
        >>> repeats("We swim in the sea.", turns, 5), repeats("Nice sea!", turns, 5)
        (False, False)
    """
    own = words(text)
    return any(0 < min(shared_words, len(own)) <= longest_run(own, words(turn)) for turn in turns)


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case, without punctuation.

    Example:
        >>> words("Oh, nice!")
        ['oh', 'nice']
    """
    return re.findall(r"\w+", text.lower())


def longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Returns the length of the longest run of words that two texts share."""
    longest, before = 0, [0] * (len(b) + 1)
    for word in a:
        # run[j + 1]: words in a row that end here and at b's word j
        run = [0, *(before[j] + 1 if word == other else 0 for j, other in enumerate(b))]
        longest, before = max(longest, *run), run
    return longest
