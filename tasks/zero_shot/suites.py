"""Suites of question sets with wordings of their own."""

from collections.abc import Callable, Iterator
from functools import partial

from lm.data.evaluation.questions import Choice, Cloze, Passage, Question, QuestionSet
from lm.data.storage import readers
from tasks import wikitext2_eval
from tasks.flan.data_set import data_sets
from tasks.flan.origin import Origin
from tasks.flan.template import Example
from tasks.support.local_data import DataSet
from tasks.zero_shot import schemas
from tasks.zero_shot.instructed import instructed

LAMBADA = DataSet("lambada", origin="huggingface.co/datasets/EleutherAI/lambada_openai").file(
    "lambada_openai.jsonl.gz"
)
BECAUSE = {"cause": "because", "effect": "so"}
# Data set -> the template of `tasks.flan` whose answer comes last.
SUPERGLUE = {"bool_q": 1, "cb": 4, "multirc": 0, "record": 0, "rte": 1, "wic": 2}


def copa(example: Example) -> Choice:
    """Joins premise and alternative by `because` or `so`."""
    word = BECAUSE[example.texts["question"]]
    options = tuple(option[:1].lower() + option[1:] for option in example.options)
    return _choice(example, f"{example.texts['premise'].rstrip('.')} {word}", word, options)


def asked(example: Example, field: str) -> Choice:
    """Asks a question, to be answered after `Answer:`."""
    return _choice(example, f"Question: {example.texts[field]}\nAnswer:", "Answer:")


def begun(example: Example) -> Choice:
    """Puts an answer directly after the question, which may be the start of a sentence."""
    return _choice(example, example.texts["question"], "Answer:")


WRITTEN: dict[str, Callable[[Example], Choice]] = {
    "copa": copa,
    "piqa": partial(asked, field="goal"),
    "openbookqa": begun,
    "arc_easy": partial(asked, field="question"),
    "commonsense_qa": partial(asked, field="question"),
}


def winograd() -> list[QuestionSet]:
    """Returns the Winograd schemas by full and by partial scores, and which words decide."""
    sets = [one for name in schemas.FILES for one in schemas.sets(name)]
    return [*sets, schemas.special_words()]


def commonsense() -> list[QuestionSet]:
    """Returns the schemas, and data sets of commonsense questions."""
    return [*winograd(), *map(written, WRITTEN)]


def superglue() -> list[QuestionSet]:
    """Returns the sets of SuperGLUE with local files."""
    sets = [instructed(data_sets()[name], "noopt", k) for name, k in SUPERGLUE.items()]
    return [*sets, written("copa")]


def lambada() -> list[QuestionSet]:
    """Returns the passages whose last word is the answer."""

    def clozes() -> Iterator[Cloze]:
        for row in readers.read_jsonl(LAMBADA()):
            yield Cloze(row["context"], row["continuation"])

    return [QuestionSet(name="lambada", questions=clozes, require=LAMBADA)]


def wikitext() -> list[QuestionSet]:
    """Returns the articles of WikiText-2's test split."""

    def passages() -> Iterator[Passage]:
        for row in wikitext2_eval.articles("test"):
            yield Passage(str(row["text"]), int(row["words"]))

    find = wikitext2_eval.FILES["test"]
    return [QuestionSet(name="wikitext2", questions=passages, require=find)]


def written(name: str) -> QuestionSet:
    """Returns a data set of `tasks.flan` in a wording of this module."""
    origin = Origin(data_sets()[name])

    def questions() -> Iterator[Question]:
        return map(WRITTEN[name], origin.examples("test"))

    return QuestionSet(name=name, questions=questions, require=partial(origin.require, "test"))


def _choice(
    example: Example, context: str, premise: str, answers: tuple[str, ...] | None = None
) -> Choice:
    right = (n for n, option in enumerate(example.options) if option in example.references)
    answers = answers or example.options
    return Choice((context,) * len(answers), answers, tuple(right), premise)
