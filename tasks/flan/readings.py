"""What a row of a source says: fields of text, possible answers, the right one.

A reading gets a row, the columns of the data set, and how its class is written. It returns the
fields by name and among them `answer`, or `label`, the number of the class; with `options` where
these differ from row to row, and `references` where several answers are right. None leaves the row
out. Rows of TFDS and of local files differ in places; one reading serves both.
"""

import itertools
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Fields = dict[str, Any]

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


class Layout(NamedTuple):
    """Where a row has what.

    Attributes:
        columns: our name of a field -> the row's.
        label: the column of the class.
        labels: what is written there for each class, if text.
    """

    columns: Mapping[str, str]
    label: str
    labels: Sequence[str]


Reading = Callable[[Row, Layout], Fields | None]


def columns(row: Row, layout: Layout) -> Fields | None:
    """Takes columns as they are, with the class if there is one."""
    fields: Fields = {name: row[column] for name, column in layout.columns.items()}
    if "answer" in fields:
        return fields
    label = _class(row[layout.label], layout.labels)
    return fields | {"label": label} if label >= 0 else None


def _class(written: Any, labels: Sequence[str]) -> int:
    return labels.index(written) if labels and isinstance(written, str) else int(written)


def sentiment140(row: Row, layout: Layout) -> Fields:
    """Counts a polarity of 3 or 4, of 0 to 4, as positive."""
    return {"text": row["text"], "label": int(row["polarity"] >= 3)}  # noqa: PLR2004


def stsb(row: Row, layout: Layout) -> Fields:
    """Rounds the score to a whole number, halves to the even one."""
    score = row.get("label", row.get("score"))
    fields = {name: row[name] for name in ("sentence1", "sentence2")}
    return fields | {"label": round(float(score))}


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
    """Removes the bracketed marks that WikiHow's texts carry."""
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
    """Returns a label counted from 1 as one from 0; TFDS keeps the file's own numbers."""
    return label - 1 if 1 <= label <= number else label


def piqa(row: Row, layout: Layout) -> Fields:
    """Chooses one of two solutions."""
    if "query" in row:
        goal = row["query"].removeprefix("Question: ").strip()
        return {"goal": goal, "options": tuple(row["choices"]), "label": row["gold"]}
    return {"goal": row["goal"], "options": (row["sol1"], row["sol2"]), "label": row["label"]}


def choices(row: Row, layout: Layout) -> Fields | None:
    """Chooses one of four answers; questions with another number are left out."""
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
    """Finds the answers behind the letters of a ready-made prompt."""
    question, listed = row["query"].removeprefix("Question: ").split("\nChoices:\n")
    options = re.findall(r"^[A-Z]\. (.*)$", listed, re.MULTILINE)
    return {"question": question, "options": tuple(options), "label": row["gold"]}


def open_answer(row: Row, layout: Layout) -> Fields:
    """Answers in free text, of which several may be right."""
    answer = row["answer"]
    right = [answer["value"], *answer["aliases"]] if isinstance(answer, Mapping) else answer
    return {"question": row["question"], "answer": right[0], "references": tuple(right)}


def common_gen(row: Row, layout: Layout) -> Fields:
    """Lists the concepts."""
    return {"concepts": ", ".join(row["concepts"]), **_text(row)}


def dart(row: Row, layout: Layout) -> Fields:
    """Writes each triple on a line."""
    return {"triples": "\n".join(row["tripleset"]), **_text(row)}


def e2e_nlg(row: Row, layout: Layout) -> Fields:
    """Writes the attributes as they are."""
    return {"attributes": row["meaning_representation"], **_text(row)}


def web_nlg(row: Row, layout: Layout) -> Fields:
    """Writes each triple on a line, its underscores as spaces."""
    triples = row.get("input") or row["triples"]
    lines = "\n".join(triples).replace("_", " ")
    return {"triples": lines, **(_text(row) if "target" in row else _first(row["texts"]))}


def _text(row: Row) -> Fields:
    """Returns the target, and all references of an evaluation set."""
    return {"answer": row["target"], "references": tuple(row["references"]) or (row["target"],)}


def _first(texts: Sequence[str]) -> Fields:
    return {"answer": texts[0], "references": tuple(texts)}


def bool_q(row: Row, layout: Layout) -> Fields:
    """Answers a question by yes or no."""
    if "query" in row:
        passage, question = row["query"].removeprefix("Passage: ").rsplit("\nQuestion: ", 1)
        label = row["gold"]
    else:
        passage, question = row["passage"], row["question"]
        label = row.get("answer", row.get("label"))
    return {"passage": passage, "question": question.rstrip("?"), "label": int(label)}


def multirc(row: Row, layout: Layout) -> Fields:
    """Judges one suggested answer."""
    fields = {name: row[name] for name in ("paragraph", "question")}
    return fields | {"response": row["answer"], "label": row["label"]}


def squad(row: Row, layout: Layout) -> Fields:
    """Answers with words of the passage, or with `unanswerable`."""
    right = tuple(row["answers"]["text"]) or ("unanswerable",)
    fields = {name: row[name] for name in ("context", "question")}
    title = row["title"].replace("_", " ")
    return fields | {"title": title, "answer": right[0], "references": right}


def cosmos_qa(row: Row, layout: Layout) -> Fields:
    """Chooses one of four answers."""
    fields = {name: row[name] for name in ("context", "question")}
    options = tuple(row[f"answer{number}"] for number in range(4))
    return fields | {"options": options, "label": row["label"]}


def record(row: Row, layout: Layout) -> Fields | None:
    """Cuts the query at its gap; each option is an entity with all that follows the gap."""
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
    """Cuts the sentence at its gap; each option is a candidate with all that follows."""
    if "context_options" in row:
        left, candidates = _split_candidates(row["context_options"])
        right, label = " " + row["continuation"], row["gold"]
    else:
        left, right = row["sentence"].split("_", 1)
        candidates, label = (row["option1"], row["option2"]), row["label"]
    options = tuple(candidate + right for candidate in candidates)
    return {"context": left.strip(), "options": options, "label": label}


def _split_candidates(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Splits texts that differ in their last words: what they share, and the rest of each."""
    words = [text.split(" ") for text in texts]
    shared = 0
    while len({tuple(one[: shared + 1]) for one in words}) == 1 and shared + 1 < len(words[0]):
        shared += 1
    return " ".join(words[0][:shared]), tuple(" ".join(one[shared:]) for one in words)


def wsc(row: Row, layout: Layout) -> Fields:
    """Judges whether a pronoun means a noun."""
    spans = row.get("target") or row
    fields = {"text": row["text"], "noun": spans["span1_text"], "pronoun": spans["span2_text"]}
    return fields | {"label": int(row["label"])}


def wsc273(row: Row, layout: Layout) -> Fields:
    """Cuts the text at the pronoun; each option is a candidate with all that follows."""
    if "candidates" in row:
        left, right = row["text"].split(row["pronoun"], 1)
        candidates = row["candidates"]
    else:
        left, right = row["text"][: row["pronoun_start"]], row["text"][row["pronoun_end"] :]
        candidates = [row["option1_normalized"], row["option2_normalized"]]
    options = tuple(candidate + right for candidate in candidates)
    return {"context": left.strip(), "options": options, "label": row["label"]}


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
    """Takes the punctuation away."""
    return _damaged(row["en"], row["en"].translate(str.maketrans("", "", string.punctuation)))


def true_case(row: Row, layout: Layout) -> Fields | None:
    """Makes every letter small."""
    return _damaged(row["en"], row["en"].lower())


def word_segment(row: Row, layout: Layout) -> Fields | None:
    """Takes the spaces away."""
    return _damaged(row["en"], row["en"].replace(" ", ""))


def _damaged(text: str, damaged: str) -> Fields | None:
    return {"text": damaged, "answer": text} if damaged.strip() else None


def gigaword(row: Row, layout: Layout) -> Fields | None:
    """Leaves out texts with unknown words or digits that were replaced."""
    if "UNK" in row["document"] or "#" in row["document"]:
        return None
    return {"document": row["document"], "answer": row["summary"]}


def idebate(row: Row, layout: Layout) -> Fields:
    """Joins the arguments for a claim."""
    arguments = " ".join(row["_argument_sentences"]["value"])
    return {"debate": row["_debate_name"], "arguments": arguments, "answer": row["_claim"]}


def movie_opinions(row: Row, layout: Layout) -> Fields:
    """Joins the critics' lines on a film."""
    reviews = " ".join(row["_critics"]["value"])
    return {"movie": row["_movie_name"], "reviews": reviews, "answer": row["_critic_consensus"]}


def translation(row: Row, layout: Layout) -> Fields:
    """Translates from the language of `source` to that of `answer`."""
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
    """Asks for a number; the steps to it are the rationale."""
    if "rationale" in row:  # one of several sets in a file
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


def flat_rows(name: str, row: Row) -> Iterator[Row]:
    """Yields the rows of one that holds several questions on a passage, as some files do."""
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
    """Returns the words of a span whose end is included."""
    return text[span["start"] : span["end"] + 1]
