"""Readings of data sets whose possible answers differ between rows."""

import re
from collections.abc import Mapping, Sequence

from tasks.flan.readings.layout import Fields, Layout, Row


def copa(row: Row, layout: Layout) -> Fields:
    """Asks for a cause or an effect."""
    asked = row.get("question") or row["asks_for"]
    return {
        "premise": row["premise"],
        "question": asked,
        "connective": {"cause": "This happened because", "effect": "As a result,"}[asked],
        "options": (row["choice1"], row["choice2"]),
        "label": row["label"],
    }


def hellaswag(row: Row, layout: Layout) -> Fields:
    """Removes the bracketed markers in WikiHow's texts."""
    unmarked = [_without_marks(text) for text in (row["context"], *row["endings"])]
    return {"context": unmarked[0], "options": tuple(unmarked[1:]), "label": row["label"]}


def _without_marks(text: str) -> str:
    return " ".join(re.sub(r"\[[^\]]*\]", "", text).split())


def story_cloze(row: Row, layout: Layout) -> Fields:
    """Chooses one of two endings."""
    return {
        "context": row["context"],
        "options": tuple(row["endings"]),
        "label": _from_one(row["label"], 2),
    }


def _from_one(label: int, number: int) -> int:
    """Returns a label counted from 1 as one counted from 0; TFDS keeps the file's own numbers."""
    return label - 1 if 1 <= label <= number else label


def piqa(row: Row, layout: Layout) -> Fields:
    """Chooses one of two solutions."""
    if "query" in row:
        goal = row["query"].removeprefix("Question: ").strip()
        return {"goal": goal, "options": tuple(row["choices"]), "label": row["gold"]}
    return {"goal": row["goal"], "options": (row["sol1"], row["sol2"]), "label": row["label"]}


def choices(row: Row, layout: Layout) -> Fields | None:
    """Chooses one of four answers; questions with another number of answers are left out."""
    question, options, label = _choices(row)
    if len(options) != 4:  # noqa: PLR2004
        return None
    return {"question": question, "options": options, "label": label}


def _choices(row: Row) -> tuple[str, tuple[str, ...], int]:
    if "query" in row:
        return row["query"].removeprefix("Question: ").strip(), tuple(row["choices"]), row["gold"]
    if isinstance(row["question"], Mapping):  # OpenBookQA
        options = tuple(row["question"][f"choice_{letter}"] for letter in "ABCD")
        return row["question"]["stem"], options, row["answerKey"]
    return row["question"], tuple(row["choices"]["text"]), row["answerKey"]


def lettered_choices(row: Row, layout: Layout) -> Fields:
    """Finds the answers listed by letter in a ready-made prompt."""
    question, listed = row["query"].removeprefix("Question: ").split("\nChoices:\n")
    options = re.findall(r"^[A-Z]\. (.*)$", listed, re.MULTILINE)
    return {"question": question, "options": tuple(options), "label": row["gold"]}


def cosmos_qa(row: Row, layout: Layout) -> Fields:
    """Chooses one of four answers."""
    fields = {name: row[name] for name in ("context", "question")}
    options = tuple(row[f"answer{number}"] for number in range(4))
    return fields | {"options": options, "label": row["label"]}


def record(row: Row, layout: Layout) -> Fields | None:
    """Splits the query at its gap; each option is an entity and the text after the gap."""
    left, gap, right = row["query"].partition("@placeholder")
    if not gap or not row["answers"]:
        return None
    return {
        "passage": row["passage"].replace("\n@highlight\n", "\n"),
        "query": left,
        "options": tuple(dict.fromkeys(entity + right for entity in row["entities"])),
        "answer": row["answers"][0] + right,
        "references": tuple(dict.fromkeys(answer + right for answer in row["answers"])),
    }


def pronoun(row: Row, layout: Layout) -> Fields:
    """Chooses one of two nouns."""
    return {
        "sentence": row.get("sentence") or row["text"],
        "pronoun": row["pronoun"],
        "options": tuple(row["candidates"]),
        "label": row["label"],
    }


def winogrande(row: Row, layout: Layout) -> Fields:
    """Splits the sentence at its gap; each option is a candidate and the text after the gap."""
    if "context_options" in row:
        left, candidates = _split_candidates(row["context_options"])
        right, label = " " + row["continuation"], row["gold"]
    else:
        left, right = row["sentence"].split("_", 1)
        candidates, label = (row["option1"], row["option2"]), row["label"]
    options = tuple(candidate + right for candidate in candidates)
    return {"context": left.strip(), "options": options, "label": label}


def _split_candidates(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Splits texts that differ in their last words into the common part and the rest of each."""
    words = [text.split(" ") for text in texts]
    shared = 0
    while len({tuple(one[: shared + 1]) for one in words}) == 1 and shared + 1 < len(words[0]):
        shared += 1
    return " ".join(words[0][:shared]), tuple(" ".join(one[shared:]) for one in words)


def wsc273(row: Row, layout: Layout) -> Fields:
    """Splits the text at the pronoun; each option is a candidate and the text after it."""
    if "candidates" in row:
        left, right = row["text"].split(row["pronoun"], 1)
        candidates = row["candidates"]
    else:
        left, right = row["text"][: row["pronoun_start"]], row["text"][row["pronoun_end"] :]
        candidates = [row["option1_normalized"], row["option2_normalized"]]
    options = tuple(candidate + right for candidate in candidates)
    return {"context": left.strip(), "options": options, "label": row["label"]}
