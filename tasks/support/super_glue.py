"""SuperGLUE tasks in both forms, from one reading of TFDS's rows or of local files.

A row of a local file may hold several questions on one passage.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import seqio

from lm.data.evaluation import answer_metrics
from lm.data.evaluation.metrics import accuracy
from lm.data.preprocessing import choice_task, span_task
from lm.data.preprocessing.classification_task import Classification, class_form, text_form
from lm.data.storage.readers import Row
from tasks.support.classification import add_classification, numbered

NO_YES = numbered("False", "True")
ASKED = {"cause": "What was the cause?", "effect": "What happened as a result?"}
PLACEHOLDER = "@placeholder"
SQUAD = (answer_metrics.squad,)


def boolq(row: Row) -> Iterator[Row]:
    """Yields a question on a passage, with the answer no or yes."""
    if "query" in row:
        passage, question = row["query"].removeprefix("Passage: ").rsplit("\nQuestion: ", 1)
        row = {"passage": passage, "question": question.rstrip("?"), "label": row["gold"]}
    yield {name: row[name] for name in ("passage", "question")} | {"label": int(row["label"])}


def wic(row: Row) -> Iterator[Row]:
    """Yields a word with two sentences, and the first sentence with the word before it."""
    texts = {name: row[name] for name in ("word", "sentence1", "sentence2")}
    marked = f"{row['word']}: {row['sentence1']}"
    yield texts | {"marked": marked, "label": int(row["label"])}


def copa(row: Row) -> Iterator[Row]:
    """Yields a premise with two choices; for encoders the premise is followed by the question."""
    asked = row.get("question") or row["asks_for"]
    texts = {name: row[name] for name in ("premise", "choice1", "choice2")}
    yield texts | {
        "question": asked,
        "asked": f"{row['premise']} {ASKED[asked]}",
        "choices": [row["choice1"], row["choice2"]],
        "label": int(row["label"]),
    }


def multirc(row: Row) -> Iterator[Row]:
    """Yields one suggested answer to a question; `group` is the number of the question."""
    for passage, question, answer, number in _suggested(row):
        yield {
            "paragraph": " ".join(re.sub(r"<[^>]+>", " ", passage).split()),
            "question": question,
            "answer": answer["text"],
            "asked": f"{question} {answer['text']}",
            "group": number,
            "label": int(answer["label"]),
        }


def _suggested(row: Row) -> Iterator[tuple[str, str, Mapping[str, Any], str]]:
    """Yields passage, question, answer and the question's number."""
    if "paragraph" in row:
        answer = {"text": row["answer"], "label": row["label"]}
        number = f"{row['idx']['paragraph']}-{row['idx']['question']}"
        yield row["paragraph"], row["question"], answer, number
        return
    for question in row["passage"]["questions"]:
        for answer in question["answers"]:
            number = f"{row['idx']}-{question['idx']}"
            yield row["passage"]["text"], question["question"], answer, number


def record(row: Row) -> Iterator[Row]:
    """Yields a query with a gap, and the query filled with each entity of the passage.

    The label is the index of the first correct entity.
    """
    for passage, query, entities, answers in _gaps(row):
        names = list(dict.fromkeys(entities))
        right = [number for number, name in enumerate(names) if name in answers]
        if not right:
            continue
        yield {
            "passage": _with_sentences(passage),
            "query": query,
            "entities": names,
            "listed": ", ".join(names),
            "choices": [query.replace(PLACEHOLDER, name) for name in names],
            "answers": list(dict.fromkeys(answers)),
            "label": right[0],
        }


def _gaps(row: Row) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yields passage, query, entities and correct answers."""
    passage = row["passage"]
    if isinstance(passage, str):
        yield passage, row["query"], row["entities"], row["answers"]
        return
    text = passage["text"]
    entities = [text[span["start"] : span["end"] + 1] for span in passage["entities"]]
    for asked in row["qas"]:
        yield text, asked["query"], entities, [answer["text"] for answer in asked["answers"]]


def _with_sentences(passage: str) -> str:
    """Returns the passage with its highlights as sentences, as in T5's release."""
    ended = re.sub(r"([.?!\"'])\n@highlight\n", r"\1 ", passage)
    return ended.replace("\n@highlight\n", ". ")


def add_boolq(name: str, source: seqio.DataSource) -> None:
    """Registers both forms."""
    texts = {"question": "question", "passage": "passage"}
    add_classification(name, source, texts=texts, answer=NO_YES, benchmark="boolq")


def add_wic(name: str, source: seqio.DataSource) -> None:
    """Registers both forms; an encoder reads the word before the first sentence."""
    texts = {text: text for text in ("sentence1", "sentence2", "word")}
    task = Classification(source, texts, "label", NO_YES, [accuracy])
    pair = {"sentence1": "marked", "sentence2": "sentence2"}
    class_form(name, task._replace(texts=pair))
    text_form(f"{name}_text", task, benchmark="wic")


def add_copa(name: str, source: seqio.DataSource) -> None:
    """Registers both forms; an encoder reads each choice together with the premise."""
    texts = {text: text for text in ("choice1", "choice2", "premise", "question")}
    answer = numbered("choice1", "choice2")
    choice_task.choice_form(name, choice_task.Choices(source, "asked", "choices", [accuracy]))
    task = Classification(source, texts, "label", answer, [accuracy])
    text_form(f"{name}_text", task, benchmark="copa")


def add_multirc(name: str, source: seqio.DataSource) -> None:
    """Registers both forms; an encoder reads the answer after the question."""
    texts = {text: text for text in ("question", "answer", "paragraph")}
    task = Classification(
        source, texts, "label", NO_YES, [answer_metrics.multirc], in_group, ("group",)
    )
    class_form(name, task._replace(texts={"paragraph": "paragraph", "question": "asked"}))
    text_form(f"{name}_text", task, benchmark="multirc")


def in_group(
    label: int, *, example: Mapping[str, Any], is_target: bool = False, **unused: Any
) -> Any:
    """Returns a target with the number of its question; a prediction unchanged."""
    del unused
    return (example["group"].decode(), label) if is_target else label


def add_record(name: str, source: seqio.DataSource) -> None:
    """Registers both forms; an encoder reads the passage with the query for each entity."""
    task = choice_task.Choices(
        source,
        "passage",
        "choices",
        metrics=SQUAD,
        postprocess=entity,
        kept=("entities", "answers"),
    )
    choice_task.choice_form(name, task)
    texts = {"query": "query", "entities": "listed", "passage": "passage"}
    span_task.text_form(f"{name}_text", source, texts=texts, benchmark="record", metrics=SQUAD)


def entity(
    number: int, *, example: Mapping[str, Any], is_target: bool = False, **unused: Any
) -> str | list[str]:
    """Returns the correct answers for a target, the predicted entity for a prediction."""
    del unused
    if is_target:
        return [answer.decode() for answer in example["answers"]]
    return example["entities"][number].decode()
