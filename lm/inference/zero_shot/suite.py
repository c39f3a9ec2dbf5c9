"""Evaluation on a suite of question sets: `lm eval --suite`, `suite.evaluate_suite` in gin.

Results are in the run folder:

zero_shot/results.jsonl                        one line per question set and evaluation
zero_shot/<set>-<hash of signature>.jsonl      one line per question
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lm
from lm import disk, lock
from lm.data.evaluation import questions
from lm.data.evaluation.estimates import Estimate, estimate
from lm.data.evaluation.evaluation_task import short_hash
from lm.data.evaluation.questions import Question, QuestionSet
from lm.data.storage.fingerprints import describe
from lm.errors import UserError
from lm.inference.generate import Generated
from lm.inference.trained import Trained
from lm.inference.zero_shot.judge import Samples, judge
from lm.inference.zero_shot.likelihoods import token_scores
from lm.inference.zero_shot.respondent import Respondent
from lm.json_file import as_lines
from lm.parts import entry
from lm.ranges import NonNegativeInt, PositiveInt, Seed

FOLDER, RESULTS = "zero_shot", "results.jsonl"
# The modules that determine the numbers: their source files are the code in a signature.
CODE = (judge, Respondent, token_scores, QuestionSet)


class SetResult(NamedTuple):
    """The result on a question set.

    Attributes:
        task: name of the set.
        group: sets of a group differ only in wording.
        num_questions: number of questions.
        metrics: name → value, standard error, interval.
        signature: everything that determines the result.
        step: step of the checkpoint.
        samples: one record per question: the texts, all scores, the question's own metrics.
    """

    task: str
    group: str
    num_questions: int
    metrics: dict[str, Estimate]
    signature: dict[str, Any]
    step: int
    samples: Samples

    def row(self) -> dict[str, Any]:
        """Returns everything but the samples as one record."""
        metrics = {name: found._asdict() for name, found in self.metrics.items()}
        return {**self._asdict(), "metrics": metrics, "samples": None}

    def file_name(self) -> str:
        """Returns the name of the file with the samples."""
        return f"{self.task}-{short_hash(self.signature)}.jsonl"


@entry
def evaluate_suite(
    *,
    trained: Trained,
    generate: Callable[..., Generated],
    suite: str,
    shots: NonNegativeInt = 0,
    seed: Seed = 0,
    limit: PositiveInt | None = None,
    batch_size: PositiveInt = 16,
) -> Iterator[SetResult]:
    """Yields the result on each question set of a suite as soon as it is finished.

    Args:
        trained: the model.
        generate: generates the texts that open questions ask for; gin binds its settings as
            `generate.generate`, but `max_new_tokens` is the set's.
        suite: name of a suite or of one question set.
        shots: solved examples before each question.
        seed: seed of their choice.
        limit: number of questions from the start of each set; all by default.
        batch_size: texts per batch; affects only speed.

    Raises:
        UserError: a name is unknown, or data are missing; the message says which.
    """
    respondent = Respondent(trained=trained, batch_size=batch_size, generation=generate)
    for asked in questions.find(suite):
        yield evaluate_set(respondent, asked, shots=shots, seed=seed, limit=limit)


def evaluate_set(
    respondent: Respondent, asked: QuestionSet, *, shots: int, seed: int, limit: int | None
) -> SetResult:
    """Returns the result on one question set."""
    all_questions = list(asked.questions())
    if not all_questions:
        raise UserError(f"question set {asked.name} is empty")
    pool = list(asked.exemplars()) if shots and asked.exemplars else all_questions
    fitting = list(asked.within(respondent.fits)) if asked.within else all_questions
    read = questions.with_exemplars(fitting[:limit], pool, shots, seed)
    judged = judge(respondent, asked, read)
    metrics = {
        name: estimate(metric.measure, len(read), resamples=metric.resamples)
        for name, metric in judged.metrics.items()
    }
    signature = signed(respondent, asked, all_questions, read) | {
        "generation": [list(asked.stop), asked.max_new_tokens, *judged.search],
        "shots": shots,
        "seed": seed,
    }
    step = respondent.trained.metadata.get("step", 0)
    return SetResult(asked.name, asked.group, len(read), metrics, signature, step, judged.samples)


def signed(
    respondent: Respondent,
    asked: QuestionSet,
    all_questions: Sequence[Question],
    read: Sequence[Question],
) -> dict[str, Any]:
    """Returns what determines a number: questions, prompts, tokenizer, weights, code."""
    metadata = respondent.trained.metadata
    return {
        "task": asked.name,
        "task_version": asked.version,
        "data": short_hash(all_questions),
        "prompts": short_hash(read),
        "questions": len(read),
        "normalisation": "answers after one space; lengths without it",
        "lengths": dict(respondent.trained.lengths),
        "tokenizer": metadata.get("tokenizer"),
        "checkpoint": metadata.get("ensemble", metadata.get("checkpoint")),
        "models": len(metadata.get("ensemble", ["checkpoint"])),
        "weights": metadata.get("weights", "float32"),
        "code": f"{lm.__version__} {short_hash(describe(CODE))}",
    }


def write_result(result: SetResult, workdir: Path, *, samples: bool) -> Path:
    """Appends a result to the run's results, and returns their file.

    Args:
        result: result on a question set.
        workdir: the run folder.
        samples: whether to also write a file of samples.

    Raises:
        UserError: the folder of results contains a link.
    """
    folder, name = workdir / FOLDER, result.file_name()
    lock.refuse_links(folder)
    with disk.writing(folder, "the results"):
        folder.mkdir(parents=True, exist_ok=True)
        if samples:
            lines = as_lines(result.samples).encode()
            disk.replace(folder / name, lines, what="the samples")
        with (folder / RESULTS).open("a", encoding="utf-8") as file:
            file.write(as_lines([{**result.row(), "samples": name if samples else None}]))
    return folder / RESULTS
