"""squad_v1, squad_v2: questions answered by a span of a paragraph, or not at all.

What: the Stanford Question Answering Dataset, on Wikipedia; in v2 a third of the questions has no
answer.
Source: TFDS `squad/v1.1:3.0.0`, `squad/v2.0:3.0.0`; `tfds build` with that name downloads one.
Licence: CC BY-SA 4.0.
Splits: train, validation; the test sets are not public.

Metrics: exact match and F1 of words. `squad_v1_text` is text to text. Example (squad_v1):

    inputs      [CLS] To whom did the Virgin Mary … [SEP] Architecturally, the school … [SEP]
    start, end  of "Saint Bernadette Soubirous"
"""

from collections.abc import Iterator

from lm.data.evaluation.answer_metrics import squad
from lm.data.preprocessing import span_task
from lm.data.storage.readers import Row
from tasks.support.reading import tfds_source

SPLITS = {"train": "train", "validation": "validation"}
VERSIONS = {"v1": "v1.1", "v2": "v2.0"}


def read(row: Row) -> Iterator[Row]:
    """Yields a question with its answers and the position of the first one."""
    answers = row["answers"]
    yield {
        "question": row["question"],
        "context": row["context"],
        "answers": answers["text"],
        "answer_start": (answers["answer_start"] or [-1])[0],
    }


for _name, _version in VERSIONS.items():
    _task = f"squad_{_name}"
    _source = tfds_source(_task, f"squad/{_version}:3.0.0", SPLITS, read)
    span_task.class_form(_task, span_task.Extraction(_source, [squad]))
    span_task.text_form(
        f"{_task}_text",
        _source,
        texts={"question": "question", "context": "context"},
        benchmark="squad",
        metrics=[squad],
    )
