"""Scoring of question sets: the requests for each kind of question, and the metrics."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lm.data.evaluation.estimates import Measure, exponential, mean, ratio
from lm.data.evaluation.metrics import text_sizes
from lm.data.evaluation.questions import (
    Choice,
    Cloze,
    Decision,
    Open,
    Passage,
    Question,
    QuestionSet,
)
from lm.inference.zero_shot.respondent import LogLikelihood, Request, Respondent
from lm.likelihood import bits

Samples: TypeAlias = list[dict[str, Any]]
CORPUS = frozenset({"bleu", "chrf"})  # computed on all texts together
UNPAIRED = CORPUS | {"perplexity", "byte_perplexity", "word_perplexity"}  # no means over questions
FEW_RESAMPLES = 100


class Metric(NamedTuple):
    """A metric, and the number of bootstrap samples for its standard error."""

    measure: Measure
    resamples: int = 1000


class Judged(NamedTuple):
    """Metrics by name, and one record per question, with the question's own metrics in `values`.

    Attributes:
        search: the settings with which texts were generated, but their number of tokens.
    """

    metrics: dict[str, Metric]
    samples: Samples
    search: tuple[str, ...] = ()


def judge(respondent: Respondent, asked: QuestionSet, questions: Sequence[Question]) -> Judged:
    """Asks the questions of a set, which are all of one kind, and scores the answers."""
    return KINDS[type(questions[0])](respondent, asked, questions)


def judge_choices(
    respondent: Respondent, asked: QuestionSet, questions: Sequence[Choice]
) -> Judged:
    """Picks the most probable answer to each question under each normalisation.

    sum               Σ log p(token)
    per token         the sum / number of tokens; likewise per character and byte of the answer
    unconditional     the sum - Σ log p(token) of the same answer after the neutral premise (PMI)
    """
    del asked
    after = [
        Request(context, one.delimiter + answer)
        for one in questions
        for context, answer in zip(one.contexts, one.answers, strict=True)
    ]
    alone = [
        Request(one.premise, one.delimiter + answer) for one in questions for answer in one.answers
    ]
    found = respondent.log_likelihoods([*after, *alone])
    given, unconditional = iter(found[: len(after)]), iter(found[len(after) :])
    samples = []
    for one in questions:
        scores = normalised(
            one.answers,
            [next(given) for _ in one.answers],
            [next(unconditional) for _ in one.answers],
        )
        hits = {name: float(np.argmax(s) in one.correct) for name, s in scores.items()}
        chance = len(one.correct) / len(one.answers)
        samples.append({**one._asdict(), "scores": scores, "values": {**hits, "chance": chance}})
    return Judged(means(samples), samples)


def normalised(
    answers: Sequence[str], given: Sequence[LogLikelihood], alone: Sequence[LogLikelihood]
) -> dict[str, list[float]]:
    """Returns the scores of some answers under each normalisation."""
    rows = list(zip(answers, given, alone, strict=True))
    return {
        "accuracy": [one.value for _, one, _ in rows],
        "accuracy_per_token": [one.value / max(one.tokens, 1) for _, one, _ in rows],
        "accuracy_per_character": [one.value / max(len(text), 1) for text, one, _ in rows],
        "accuracy_per_byte": [one.value / max(len(text.encode()), 1) for text, one, _ in rows],
        "accuracy_unconditional": [one.value - before.value for _, one, before in rows],
    }


def judge_clozes(respondent: Respondent, asked: QuestionSet, questions: Sequence[Cloze]) -> Judged:
    """Computes how probable each answer is, and whether each of its tokens is the most probable."""
    del asked
    found = respondent.log_likelihoods(
        [Request(context, f" {answer}") for context, answer in questions]
    )
    samples = []
    for question, one in zip(questions, found, strict=True):
        values = {"log_likelihood": one.value, "accuracy": float(one.is_greedy)}
        samples.append({**question._asdict(), "values": values})
    nats = -np.array([one.value for one in found])
    return Judged({**means(samples), "perplexity": Metric(exponential(mean(nats)))}, samples)


def judge_open(respondent: Respondent, asked: QuestionSet, questions: Sequence[Open]) -> Judged:
    """Compares generated texts with the references, using the set's metrics."""
    found = respondent.generate(
        [question.context for question in questions],
        stop=asked.stop,
        max_new_tokens=asked.max_new_tokens,
    )
    references = [list(question.references) for question in questions]
    made = [text.strip() for text in found.texts]
    decoding = {name: x for name, x in found.decoding.items() if name != "max_new_tokens"}
    samples = []
    for question, text in zip(questions, made, strict=True):
        own = asked.metrics([list(question.references)], [text])
        values = {name: float(value) for name, value in own.items() if name not in CORPUS}
        samples.append({**question._asdict(), "prediction": text, "values": values})
    metrics = means(samples)
    for name in CORPUS & asked.metrics(references, made).keys():
        metrics[name] = Metric(corpus_measure(asked, name, references, made), FEW_RESAMPLES)
    return Judged(metrics, samples, tuple(f"{name} = {x}" for name, x in decoding.items()))


def corpus_measure(
    asked: QuestionSet, name: str, references: Sequence[list[str]], made: Sequence[str]
) -> Measure:
    """Returns a corpus-level metric, computed on all texts together."""

    def measure(indices: np.ndarray) -> float:
        return float(
            asked.metrics([references[i] for i in indices], [made[i] for i in indices])[name]
        )

    return measure


def judge_passages(
    respondent: Respondent, asked: QuestionSet, questions: Sequence[Passage]
) -> Judged:
    """Returns perplexities and bits of texts: sums over all texts, divided once.

    A sample's bits per byte are its bits / the mean number of bytes of all texts, so that their
    mean is the result's.
    """
    del asked
    nats = -np.array(respondent.rolling([question.text for question in questions]))
    sizes = [text_sizes([question.text]) for question in questions]
    num_bytes = np.array([size.bytes for size in sizes])
    words = [
        question.words or size.words or 0 for question, size in zip(questions, sizes, strict=True)
    ]
    metrics = {
        "bits_per_byte": Metric(ratio(np.array([bits(one, 1) for one in nats]), num_bytes)),
        "byte_perplexity": Metric(exponential(ratio(nats, num_bytes))),
    }
    if all(words):
        metrics["word_perplexity"] = Metric(exponential(ratio(nats, np.array(words))))
    mean_bytes = float(np.mean(num_bytes))
    samples = []
    for question, one in zip(questions, nats.tolist(), strict=True):
        values = {"log_likelihood": -one, "bits_per_byte": bits(one, mean_bytes)}
        samples.append({"text": question.text, "values": values})
    return Judged(metrics, samples)


def judge_decisions(
    respondent: Respondent, asked: QuestionSet, questions: Sequence[Decision]
) -> Judged:
    """Checks whether the decisive word is one of the special words.

    It is the word with the largest ratio p(word | right context) / p(word | wrong context), given
    the words before it.

    Source: Trinh, Le 2018 (https://arxiv.org/abs/1806.02847), section 5.2.
    """
    del asked
    requests = [
        Request(" ".join([context, *one.words[:number]]), f" {word}")
        for one in questions
        for context in one.contexts
        for number, word in enumerate(one.words)
    ]
    found = iter(respondent.log_likelihoods(requests))
    samples = []
    for one in questions:
        right, wrong = ([next(found).value for _ in one.words] for _ in one.contexts)
        ratios = (np.array(right) - np.array(wrong)).tolist()
        hit = float(np.argmax(ratios) in one.special)
        values = {"special_word": hit, "chance": len(one.special) / len(one.words)}
        samples.append({**one._asdict(), "log_ratios": ratios, "values": values})
    return Judged(means(samples), samples)


def means(samples: Samples) -> dict[str, Metric]:
    """Returns the means of the samples' values."""
    names = samples[0]["values"]
    columns = {name: np.array([sample["values"][name] for sample in samples]) for name in names}
    return {name: Metric(mean(column)) for name, column in columns.items()}


KINDS: dict[type, Callable[..., Judged]] = {
    Choice: judge_choices,
    Cloze: judge_clozes,
    Open: judge_open,
    Passage: judge_passages,
    Decision: judge_decisions,
}
