"""Back-translation: copies of texts that `lm generate` wrote, sentence by sentence.

    sentences of the texts → lm generate --json → in another language → lm generate --json → back

`sentences` makes the lines that the first of them reads, `Paraphrases` reads what both wrote.

"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from lm.data.storage import readers
from lm.errors import UserError
from lm.parts import part

Texts = Callable[[], Iterable[str]]

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SHORTEST = 10
_MOST_CHANGE = 0.5


@part
class Paraphrases:
    """The copy of a text is made of its sentences, each replaced by what a model wrote for it.

    A file has lines of `lm generate --json`; its prompts are sentences of the texts, those of the
    next file are what the first one answers. A copy stays the text itself where either has less
    than 10 characters, or where their lengths differ by more than half.

    Args:
        files: written by `lm generate --json`, in the order in which they were.

    Raises:
        UserError: a file has no line for a sentence, or a line is none of `lm generate --json`.

    Source: Xie et al. 2020 (https://arxiv.org/abs/1904.12848), section 2.3, and its release.
    """

    def __init__(self, *, files: Sequence[str]):
        self.files = list(files)

    def __call__(self, texts: Texts) -> Iterator[str]:
        """Yields a copy of each text."""
        answers = [answers_of(path) for path in self.files]
        for text in texts():
            yield fitting(text, " ".join(self.answer(s, answers) for s in sentences(text)))

    def answer(self, sentence: str, answers: Sequence[dict[str, str]]) -> str:
        """Returns what the last file has for a sentence."""
        for path, found in zip(self.files, answers, strict=True):
            if sentence not in found:
                raise UserError(
                    f"{path}: no line with the prompt {sentence!r:.60}; write it with `lm generate "
                    "--json` from the sentences of the task, or of the file before it"
                )
            sentence = found[sentence]
        return sentence


def answers_of(path: str) -> dict[str, str]:
    """Returns the best text, in one line, for each prompt of a file of `lm generate --json`.

    Raises:
        UserError: naming file and line of what is none.
    """
    found = {}
    for number, row in enumerate(readers.read_jsonl(path), 1):
        try:
            found[row["prompt"]] = " ".join(row["candidates"][0]["text"].split())
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"{path}:{number}: not a line of `lm generate --json`") from error
    return found


def fitting(text: str, copy: str) -> str:
    """Returns the copy, or the text itself where the copy is far from its length.

    Example:
        >>> fitting("a very good film", "a truly good film"), fitting("a very good film", "films")
        ('a truly good film', 'a very good film')
    """
    is_short = min(len(text), len(copy)) < _SHORTEST
    return text if is_short or abs(len(copy) - len(text)) > _MOST_CHANGE * len(text) else copy


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, in one line each.

    Example:
        >>> sentences("A film.  It has an end! Good")
        ['A film.', 'It has an end!', 'Good']
    """
    return [" ".join(part.split()) for part in _SENTENCE_END.split(text.strip())]
