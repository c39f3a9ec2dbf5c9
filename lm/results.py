"""Results of an evaluation in the run folder, in SeqIO's files.

inference_eval/<task>/<task>-metrics.jsonl      one line an evaluation: figures and facts
inference_eval/<task>/<task>-<step:06>.jsonl    one line an example, of the newest evaluation
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lm import lock
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
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{task}-{step:06}.jsonl", found.examples())
    with (folder / f"{task}-metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(_line(found.row()))
    return folder


def _replace(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes lines to a file that is there complete or as it was before."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:  # never through a link
        file.writelines(_line(row) for row in rows)
    os.replace(temporary, path)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
