"""Readings of data sets whose answer is free text."""

import re
import string
from collections.abc import Mapping, Sequence

from tasks.flan.readings.layout import Fields, Layout, Row

LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
}


def open_answer(row: Row, layout: Layout) -> Fields:
    """Answers in free text; several answers may be correct."""
    answer = row["answer"]
    right = [answer["value"], *answer["aliases"]] if isinstance(answer, Mapping) else answer
    return {"question": row["question"], "answer": right[0], "references": tuple(right)}


def common_gen(row: Row, layout: Layout) -> Fields:
    """Lists the concepts."""
    return {"concepts": ", ".join(row["concepts"]), **_text(row)}


def dart(row: Row, layout: Layout) -> Fields:
    """Writes each triple on its own line."""
    return {"triples": "\n".join(row["tripleset"]), **_text(row)}


def e2e_nlg(row: Row, layout: Layout) -> Fields:
    """Writes the attributes unchanged."""
    return {"attributes": row["meaning_representation"], **_text(row)}


def web_nlg(row: Row, layout: Layout) -> Fields:
    """Writes each triple on its own line, with spaces for underscores."""
    triples = row.get("input") or row["triples"]
    lines = "\n".join(triples).replace("_", " ")
    return {"triples": lines, **(_text(row) if "target" in row else _first(row["texts"]))}


def _text(row: Row) -> Fields:
    """Returns the target, and all references if it is an evaluation set."""
    return {"answer": row["target"], "references": tuple(row["references"]) or (row["target"],)}


def _first(texts: Sequence[str]) -> Fields:
    return {"answer": texts[0], "references": tuple(texts)}


def squad(row: Row, layout: Layout) -> Fields:
    """Answers with words of the passage, or with `unanswerable`."""
    right = tuple(row["answers"]["text"]) or ("unanswerable",)
    fields = {name: row[name] for name in ("context", "question")}
    title = row["title"].replace("_", " ")
    return fields | {"title": title, "answer": right[0], "references": right}


def coqa(row: Row, layout: Layout) -> Fields:
    """Numbers the questions and the answers of a conversation."""
    answers = row["answers"]["input_text"]
    return {
        "story": row["story"],
        "questions": _numbered(row["questions"]),
        "answer": _numbered(answers),
    }


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))


def quac(row: Row, layout: Layout) -> Fields:
    """Answers one question of a conversation about an article."""
    fields = {name: row[name] for name in ("background", "context", "question", "title")}
    right = tuple(row["answers"]["text"]) or (row["orig_answer"]["text"],)
    return fields | {"answer": row["orig_answer"]["text"], "references": right}


def fix_punct(row: Row, layout: Layout) -> Fields | None:
    """Removes the punctuation."""
    return _damaged(row["en"], row["en"].translate(str.maketrans("", "", string.punctuation)))


def true_case(row: Row, layout: Layout) -> Fields | None:
    """Lower-cases the text."""
    return _damaged(row["en"], row["en"].lower())


def word_segment(row: Row, layout: Layout) -> Fields | None:
    """Removes the spaces."""
    return _damaged(row["en"], row["en"].replace(" ", ""))


def _damaged(text: str, damaged: str) -> Fields | None:
    return {"text": damaged, "answer": text} if damaged.strip() else None


def gigaword(row: Row, layout: Layout) -> Fields | None:
    """Leaves out texts with unknown words or replaced digits."""
    if "UNK" in row["document"] or "#" in row["document"]:
        return None
    return {"document": row["document"], "answer": row["summary"]}


def idebate(row: Row, layout: Layout) -> Fields:
    """Joins the arguments for a claim."""
    arguments = " ".join(row["_argument_sentences"]["value"])
    return {"debate": row["_debate_name"], "arguments": arguments, "answer": row["_claim"]}


def movie_opinions(row: Row, layout: Layout) -> Fields:
    """Joins the critics' comments on a film."""
    reviews = " ".join(row["_critics"]["value"])
    return {"movie": row["_movie_name"], "reviews": reviews, "answer": row["_critic_consensus"]}


def translation(row: Row, layout: Layout) -> Fields:
    """Translates from the language of `source` into that of `answer`."""
    source, answer = layout.columns["source"], layout.columns["answer"]
    return {
        "source": row[source],
        "source_language": LANGUAGES[source],
        "target_language": LANGUAGES[answer],
        "answer": row[answer],
    }


def lambada(row: Row, layout: Layout) -> Fields:
    """Asks for the last word."""
    if "passage" in row:
        context, _, word = row["passage"].rstrip().rpartition(" ")
        return {"context": context, "answer": word}
    return {"context": row["context"], "answer": row["continuation"]}


def gsm8k(row: Row, layout: Layout) -> Fields | None:
    """Asks for a number; the solution steps are the rationale."""
    if "rationale" in row:  # from one of several data sets in a file
        question, rationale, answer = row["input"], row["rationale"], row["target"]
        if row["dataset"] != "gsm8k":
            return None
    elif "context" in row:
        question, rationale, answer = row["context"], row["chain_of_thought"], row["answer"]
    else:
        question, rationale, answer = row["question"], row["answer"], row["short_answer"]
    rationale = re.sub(r"<<[^>]*>>", "", rationale)
    return {"question": question, "rationale": rationale, "answer": answer}


def seed_tasks(row: Row, layout: Layout) -> Fields:
    """Puts the instruction before its first input."""
    first = row["instances"][0]
    return {"input": f"{row['instruction']}\n\n{first['input']}".strip(), "answer": first["output"]}
