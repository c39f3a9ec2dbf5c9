"""Writes tasks/index.tsv, from which `lm list tasks` lists tasks without loading a framework.

An optional argument is the path of another file to write.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lm.data.registry.task_index import INDEX, Entry
from tasks.support.registered import entries


def main(path: Path) -> None:
    """Writes the index of everything that the modules of `tasks` register."""
    lines = ["\t".join(entry) for entry in (Entry(*Entry._fields), *entries())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(lines) - 1:,} tasks and mixtures")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else INDEX)
