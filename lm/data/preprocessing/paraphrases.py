"""Back-translated copies of texts, read from files that `lm generate` wrote, per sentence.

    sentences of the texts → lm generate --json → in another language → lm generate --json → back

`sentences` writes the input of the first command, `Paraphrases` reads the output of both.

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
    """Copies of texts in which each sentence is replaced by its back-translation.

    Each file has lines of `lm generate --json`. The prompts of the first file are sentences of the
    texts; those of the next file are the outputs of the first. A text is kept unchanged if it or
    its copy has fewer than 10 characters, or if their lengths differ by more than half.

    Args:
        files: files written by `lm generate --json`, in the order in which they were written.

    Raises:
        UserError: a file has no line for a sentence, or a line is not from `lm generate --json`.

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
        """Returns the last file's output for a sentence."""
        for path, found in zip(self.files, answers, strict=True):
            if sentence not in found:
                raise UserError(
                    f"{path}: no line with the prompt {sentence!r:.60}; write it with `lm generate "
                    "--json` from the sentences of the task, or of the file before it"
                )
            sentence = found[sentence]
        return sentence


def answers_of(path: str) -> dict[str, str]:
    """Returns the best output, on one line, for each prompt of a file of `lm generate --json`.

    Raises:
        UserError: a line is malformed; the message names file and line.
    """
    found = {}
    for number, row in enumerate(readers.read_jsonl(path), 1):
        try:
            found[row["prompt"]] = " ".join(row["candidates"][0]["text"].split())
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"{path}:{number}: not a line of `lm generate --json`") from error
    return found


def fitting(text: str, copy: str) -> str:
    """Returns the copy, or the text itself if their lengths differ too much.

    Example:
        >>> fitting("a very good film", "a truly good film"), fitting("a very good film", "films")
        ('a truly good film', 'a very good film')
    """
    is_short = min(len(text), len(copy)) < _SHORTEST
    return text if is_short or abs(len(copy) - len(text)) > _MOST_CHANGE * len(text) else copy


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, each on one line.

    Example:
        >>> sentences("A film.  It has an end! Good")
        ['A film.', 'It has an end!', 'Good']
    """
    return [" ".join(part.split()) for part in _SENTENCE_END.split(text.strip())]
