"""Writes tasks/index.tsv, by which `lm list tasks` knows the tasks without loading a framework."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lm.data.registry.task_index import INDEX, Entry
from tasks.support.registered import entries

if __name__ == "__main__":
    lines = ["\t".join(entry) for entry in (Entry(*Entry._fields), *entries())]
    INDEX.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{INDEX}: {len(lines) - 1:,} tasks and mixtures")
