"""Readings of data sets with named classes."""

from collections.abc import Sequence
from typing import Any

from tasks.flan.readings.layout import Fields, Layout, Row


def columns(row: Row, layout: Layout) -> Fields | None:
    """Returns columns unchanged, with the class if there is one."""
    fields: Fields = {name: row[column] for name, column in layout.columns.items()}
    if "answer" in fields:
        return fields
    label = _class(row[layout.label], layout.labels)
    return fields | {"label": label} if label >= 0 else None


def _class(written: Any, labels: Sequence[str]) -> int:
    return labels.index(written) if labels and isinstance(written, str) else int(written)


def sentiment140(row: Row, layout: Layout) -> Fields:
    """Treats a polarity of 3 or 4, on a scale from 0 to 4, as positive."""
    return {"text": row["text"], "label": int(row["polarity"] >= 3)}  # noqa: PLR2004


def stsb(row: Row, layout: Layout) -> Fields:
    """Rounds the score to a whole number, halves to even."""
    score = row.get("label", row.get("score"))
    fields = {name: row[name] for name in ("sentence1", "sentence2")}
    return fields | {"label": round(float(score))}


def bool_q(row: Row, layout: Layout) -> Fields:
    """Answers a question with yes or no."""
    if "query" in row:
        passage, question = row["query"].removeprefix("Passage: ").rsplit("\nQuestion: ", 1)
        label = row["gold"]
    else:
        passage, question = row["passage"], row["question"]
        label = row.get("answer", row.get("label"))
    return {"passage": passage, "question": question.rstrip("?"), "label": int(label)}


def multirc(row: Row, layout: Layout) -> Fields:
    """Judges a suggested answer."""
    fields = {name: row[name] for name in ("paragraph", "question")}
    return fields | {"response": row["answer"], "label": row["label"]}


def wsc(row: Row, layout: Layout) -> Fields:
    """Judges whether a pronoun refers to a noun."""
    spans = row.get("target") or row
    fields = {"text": row["text"], "noun": spans["span1_text"], "pronoun": spans["span2_text"]}
    return fields | {"label": int(row["label"])}
