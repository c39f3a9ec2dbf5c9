"""Questions for zero-shot and few-shot evaluation of language models, and suites of them.

A question set is a data set in one wording. All its questions are of one kind:

    Choice     which of several answers is the most probable
    Cloze      whether the model's most probable continuation is the answer
    Open       a text is generated and compared with references
    Passage    the probability of a whole text
    Decision   which word of a text distinguishes a right context from a wrong one

A suite is a named list of question sets; all are in `tasks.zero_shot.SUITES`.
"""

import importlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from lm.data.evaluation.metrics import exact_match
from lm.errors import UserError

BETWEEN = "\n\n"  # exemplars
AVAILABLE = "_available"


class Choice(NamedTuple):
    """Several answers, after a common context or each after its own.

    Attributes:
        contexts: the context of each answer.
        answers: the answers, without the space before them.
        correct: the indices of the right ones.
        premise: the context of the unconditional probability of an answer.
        delimiter: the text between a context and an answer.
    """

    contexts: tuple[str, ...]
    answers: tuple[str, ...]
    correct: tuple[int, ...]
    premise: str = ""
    delimiter: str = " "


class Cloze(NamedTuple):
    """A context and its only answer."""

    context: str
    answer: str


class Open(NamedTuple):
    """A prompt and its reference answers."""

    context: str
    references: tuple[str, ...]


class Passage(NamedTuple):
    """A text whose probability is computed from its first token to its last.

    Attributes:
        text: the text.
        words: their number by the data set's own count; 0 counts words between spaces.
    """

    text: str
    words: int = 0


class Decision(NamedTuple):
    """A text after a right and after a wrong context, and its distinguishing words.

    Attributes:
        contexts: the right one and the wrong one.
        words: of the text.
        special: the indices of the distinguishing words.
    """

    contexts: tuple[str, str]
    words: tuple[str, ...]
    special: tuple[int, ...]


Question: TypeAlias = Choice | Cloze | Open | Passage | Decision
Fits: TypeAlias = Callable[[str, str], bool]
"""A context, a continuation -> whether a model reads all of both."""


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    r"""The questions of a data set, and how to judge their answers.

    Attributes:
        name: of the set, with its wording.
        questions: returns the questions, of one kind.
        require: checks that the data are on this machine.
        within: returns the questions with as many of their own exemplars as fit; by default the
            questions as they are.
        exemplars: returns the questions to draw few-shot exemplars from; by default the other
            questions of the set.
        group: sets of one group differ only in wording; their results are averaged.
        version: increased when the same data are read or judged in another way.
        metrics: of open questions, `(targets, predictions) -> {name: number}`.
        stop: texts that end the generated text.
        max_new_tokens: maximum number of generated tokens.

    Raises:
        UserError: by `require` and `questions`, if the data are not on this machine.
    """

    name: str
    questions: Callable[[], Iterable[Question]]
    require: Callable[[], object]
    within: Callable[[Fits], Iterable[Question]] | None = None
    exemplars: Callable[[], Iterable[Question]] | None = None
    group: str = ""
    version: int = 1
    metrics: Callable[..., Mapping[str, Any]] = exact_match
    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = 32


Sets: TypeAlias = Callable[[], Sequence[QuestionSet]]


def suites() -> Mapping[str, Sets]:
    """Returns all suites by name, each as a function that returns its sets."""
    return importlib.import_module("tasks.zero_shot").SUITES


def find(name: str) -> Sequence[QuestionSet]:
    """Returns the sets of a suite, or one set of any suite by its own name.

    `<suite>_available` leaves out the sets whose data are not on this machine.

    Raises:
        UserError: the name is unknown, or some data are missing.
    """
    sets = _sets(name.removesuffix(AVAILABLE))
    missing = {one.name: error for one in sets if (error := _missing(one))}
    held = [one for one in sets if one.name not in missing]
    if not held or (missing and not name.endswith(AVAILABLE)):
        raise UserError(
            f"{name}: {len(missing)} of {len(sets)} question sets miss their data: "
            f"{', '.join(missing)}. The first: {next(iter(missing.values()))}. To ask the others "
            f"alone, name the suite {name}{AVAILABLE}"
        )
    return held


def _missing(asked: QuestionSet) -> UserError | None:
    try:
        asked.require()
    except UserError as error:
        return error
    return None


def _sets(name: str) -> Sequence[QuestionSet]:
    if name in suites():
        return suites()[name]()
    for sets in suites().values():
        if found := [one for one in sets() if one.name == name]:
            return found
    raise UserError(f"no suite or question set {name!r}; the suites are {', '.join(suites())}")


def solved(question: Question) -> str:
    """Returns a question with its right answer.

    Example:
        >>> solved(Open("2 + 2 =", ("4", "four")))
        '2 + 2 = 4'
    """
    if isinstance(question, Choice):
        right = question.correct[0]
        return question.contexts[right] + question.delimiter + question.answers[right]
    if isinstance(question, Open):
        return f"{question.context} {question.references[0]}"
    if isinstance(question, Decision):
        return " ".join([question.contexts[0], *question.words])
    return question.text if isinstance(question, Passage) else " ".join(question)


def after(question: Question, text: str) -> Question:
    """Returns a question with a text before it.

    Raises:
        UserError: the question is a passage, which has no context.
    """
    if isinstance(question, Choice):
        return question._replace(contexts=tuple(text + context for context in question.contexts))
    if isinstance(question, Decision):
        right, wrong = question.contexts
        return question._replace(contexts=(text + right, text + wrong))
    if isinstance(question, Passage):
        raise UserError("--shots: passages are read without a context; leave it out")
    return question._replace(context=text + question.context)


def with_exemplars(
    questions: Sequence[Question], pool: Sequence[Question], shots: int, seed: int
) -> list[Question]:
    r"""Returns each question after solved ones, drawn by the seed and the question's index.

    Args:
        questions: the questions.
        pool: questions to draw from; never the question itself.
        shots: number of exemplars.
        seed: of the draw.

    Example:
        >>> few = [Open("a", ("1",)), Open("b", ("2",))]
        >>> with_exemplars(few, few, 1, 0)[0].context
        'b 2\n\na'
    """
    if not shots:
        return list(questions)
    made = []
    for number, question in enumerate(questions):
        chance = random.Random(f"{seed} {number}")
        drawn = chance.sample(pool, min(shots + 1, len(pool)))
        texts = [solved(one) + BETWEEN for one in drawn if one != question][:shots]
        made.append(after(question, "".join(texts)))
    return made
