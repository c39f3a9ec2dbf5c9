"""Rows that contain a passage with several questions, as in FewGLUE's files."""

import itertools
from collections.abc import Iterator, Mapping

from tasks.flan.readings.layout import Row


def flat_rows(name: str, row: Row) -> Iterator[Row]:
    """Yields a row for each question of a row with several questions on a passage."""
    passage = row.get("passage")
    if not isinstance(passage, Mapping):
        yield row
    elif name == "record":
        entities = [_span(passage["text"], span) for span in passage["entities"]]
        for asked in row["qas"]:
            answers = [answer["text"] for answer in asked["answers"]]
            given = {"passage": passage["text"], "entities": entities, "answers": answers}
            yield {"query": asked["query"], **given}
    else:
        for asked, answer in itertools.chain.from_iterable(
            ((question, answer) for answer in question["answers"])
            for question in passage["questions"]
        ):
            given = {"paragraph": passage["text"], "question": asked["question"]}
            yield {**given, "answer": answer["text"], "label": answer["label"]}


def _span(text: str, span: Mapping[str, int]) -> str:
    """Returns the words of a span, whose end is inclusive."""
    return text[span["start"] : span["end"] + 1]
