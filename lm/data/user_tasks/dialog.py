r"""Tasks from a user's own conversations in JSON lines, where each turn responds to those before.

    from lm.data.user_tasks import dialog
    MIXTURE_OR_TASK_NAME = @dialog.dialog_task()
    dialog.dialog_task.train = 'talks.jsonl'

A line holds the turns of one conversation, {"turns": ["Hi!", "Hello, who is there?", "A friend."]}.
The inputs are up to seven turns before a response, one per line; of inputs that are too long the
last tokens are kept.

Source: Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977), section 3.1. Departures: the
length of a message is counted in words, not word pieces; the filters by author, safety and repeated
messages are left to the user, since the files lack that information.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import seqio

from lm.data.preprocessing.left_trim import append_eos_after_left_trim
from lm.data.storage import readers, sources
from lm.data.storage.lines import DefectReport
from lm.data.user_tasks import user
from lm.data.user_tasks.user import Metric, Paths
from lm.parts import part, value

FEWEST, MOST = 2, 128  # words of a message
ALPHABETIC = 0.7
REPEATED = 0.5  # maximum share of a message's word pairs found in the previous message
_URL = re.compile(r"https?://|www\.", re.IGNORECASE)

Write = Callable[[Sequence[str]], str]
"""The turns before a response -> the inputs."""


@part
def one_a_line(turns: Sequence[str]) -> str:
    r"""Returns turns as text, one per line.

    Example:
        >>> one_a_line(["Hi!", "Who is\nthere?"])
        'Hi!\nWho is there?'
    """
    return "\n".join(" ".join(turn.split()) for turn in turns)


@part
def by_name(turns: Sequence[str]) -> str:
    r"""Returns turns with the names of their roles, the last being the user's, then `assistant:`.

    This is the form in which `user_instructions` writes chats.

    Example:
        >>> by_name(["Hi!", "Hello.", "Bye!"])
        'user: Hi!\nassistant: Hello.\nuser: Bye!\nassistant:'
    """
    roles = [("user", "assistant")[(len(turns) - 1 - n) % 2] for n in range(len(turns))]
    said = [f"{role}: {turn}" for role, turn in zip(roles, turns, strict=True)]
    return "\n".join([*said, "assistant:"])


@part
def is_message(text: str, before: Sequence[str]) -> bool:
    """Returns whether a turn is worth learning, by the paper's text filters.

    It has 2 to 128 words, consists mostly of letters, has no address, and does not repeat the
    previous turn.

    Args:
        text: the turn.
        before: the turns before it.

    Example:
        >>> [is_message(text, ["How are you?"]) for text in ("I am fine.", "ok", "How are you? :)")]
        [True, False, False]
    """
    letters = sum(character.isalpha() or character.isspace() for character in text)
    if not FEWEST <= len(text.split()) <= MOST or letters < ALPHABETIC * len(text):
        return False
    repeats = bool(before) and overlap(text, before[-1]) > REPEATED
    return not repeats and not _URL.search(text)


def overlap(text: str, other: str) -> float:
    """Returns the fraction of a text's word pairs that occur in another text."""
    pairs, others = (set(itertools.pairwise(w)) for w in (text.split(), other.split()))
    return len(pairs & others) / max(len(pairs), 1)


@value
def dialog_task(  # noqa: PLR0913 - the settings of a user's task and of a conversation
    *,
    name: str = "user_dialog",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    max_turns: int = 7,
    write: Write = one_a_line,
    keep: Callable[[str, Sequence[str]], bool] | None = is_message,
    vocabulary: seqio.Vocabulary | None = None,
    metrics: Sequence[Metric] = (),
    on_error: str = "raise",
) -> str:
    """Registers a task of conversations and returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training file.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the fraction of the training examples that becomes the
            split `validation`; chosen by content.
        max_turns: maximum number of turns before a response.
        write: how these are written, `dialog.one_a_line` or `dialog.by_name`.
        keep: predicate of turns that may be responses or part of the inputs; everything after a
            rejected turn is left out, too. None keeps all turns.
        vocabulary: byte level by default.
        metrics: metric functions of `lm.data.evaluation.metrics` for the evaluation.
        on_error: "raise" stops at the first bad line, naming it; "skip" counts and skips them.
    """
    files = user.given_files(train=train, validation=validation, test=test)
    options = {"max_turns": max_turns, "write": write, "keep": keep}
    source = sources.rows_source(files, read_dialogs, on_error, options)
    columns = {"inputs": "inputs", "targets": "targets"}
    return user.register(
        name,
        source,
        held_out,
        columns,
        vocabulary,
        metrics,
        append_eos=append_eos_after_left_trim,
    )


def read_dialogs(
    paths: Paths,
    *,
    max_turns: int,
    write: Write,
    keep: Callable[[str, Sequence[str]], bool] | None,
    on_error: str = "raise",
    report: DefectReport | None = None,
) -> Iterator[dict[str, str]]:
    """Yields `inputs` and `targets` for every response; arguments as in `dialog_task`.

    Raises:
        UserError: a line is malformed; the message names file and line.
    """
    for row in readers.read_jsonl(paths, check=TurnsCheck(), on_error=on_error, report=report):
        turns = row["turns"]
        for number in range(len(turns)):
            if keep and not keep(turns[number], turns[:number]):
                break
            if number:
                before = turns[max(number - max_turns, 0) : number]
                yield {"inputs": write(before), "targets": " ".join(turns[number].split())}


@dataclass(frozen=True)
class TurnsCheck:
    """Checks that a line has enough turns and that all of them are text.

    Attributes:
        fewest: minimum number of turns; by default one and its response.
    """

    fewest: int = 2

    def __call__(self, row: readers.Row) -> tuple[str, str]:
        """Returns kind and detail of the defect, or two empty strings."""
        turns = row.get("turns")
        if not isinstance(turns, list) or len(turns) < self.fewest:
            return (
                "no conversation",
                f" (field 'turns' needs {self.fewest} or more texts in a list)",
            )
        if bad := next((n for n, turn in enumerate(turns, 1) if not _is_text(turn)), 0):
            return "not text", f" (turn {bad})"
        return "", ""

    def describe(self) -> Any:
        """Returns the field that is checked."""
        return ["turns"]


def _is_text(turn: Any) -> bool:
    return isinstance(turn, str) and bool(turn.strip())
