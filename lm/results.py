"""Results of an evaluation in the run folder, in SeqIO's files.

inference_eval/<task>/<task>-metrics.jsonl      one line an evaluation: figures and facts
inference_eval/<task>/<task>-<step:06>.jsonl    one line an example, of the newest evaluation
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm import disk, lock
from lm.evaluate import Evaluated

FOLDER = "inference_eval"


def write(found: Evaluated, workdir: Path) -> Path:
    """Writes the results on one task and returns their folder.

    Raises:
        UserError: the folder of results holds a link.
    """
    lock.refuse_links(workdir / FOLDER)
    task, step = found.facts["task"], found.facts.get("step", 0)
    folder = workdir / FOLDER / task
    with disk.writing(folder, "the results"):
        folder.mkdir(parents=True, exist_ok=True)
        examples = "".join(map(_line, found.examples()))
        disk.replace(folder / f"{task}-{step:06}.jsonl", examples.encode(), what="the results")
        with (folder / f"{task}-metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(found.row()))
    return folder


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
