"""`lm list`: lists gin files, models, tasks, mixtures, templates, suites and tokenizers."""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lm import resources
from lm.cli import output

HELP = "list gin files, models, tasks, mixtures, templates, suites or tokenizers"
EXAMPLE = """examples:
  lm list models
  lm list tasks --json
  lm list templates --html=templates.html

The column "data" shows whether a task's data are available: files below LM_DATA_DIR, or a data set
of TFDS (tfds:NAME, prepared by `tfds build NAME`). A name with <...> stands for many tasks. Tasks
of the package t5 are not listed, but can be used by name."""
_WIDTH = 200  # characters for a suite's question sets

Row = dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the kind of thing to list."""
    parser.add_argument("kind", choices=list(_KINDS), help="what to list")
    output.add_json(parser)
    parser.add_argument("--html", metavar="FILE", help="write an HTML page instead of printing")


def run(args: argparse.Namespace) -> int:
    """Prints the table, or writes its page."""
    rows = list(_KINDS[args.kind]())
    if args.html:
        Path(args.html).write_text(output.html_page(args.kind, rows), encoding="utf-8")
        print(f"{args.html}: {len(rows):,} {args.kind}")
    elif args.json:
        output.print_json(rows)
    elif rows:
        output.print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        print(f"no {args.kind}")
    return 0


def configs(below: str = "") -> Iterator[Row]:
    """Yields the gin files below a folder with their first line."""
    root = resources.gin_folder()
    for path in sorted((root / below).rglob("*.gin")):
        yield {"config": str(path.relative_to(root)), "about": _headline(path)}


def models() -> Iterator[Row]:
    """Yields the gin files of the models."""
    return configs("models")


def tokenizers() -> Iterator[Row]:
    """Yields the tokenizers; the byte vocabulary needs no file."""
    yield {"tokenizer": "byte", "about": "UTF-8 bytes; the default, needs no file"}
    for folder in sorted(resources.tokenizers_folder().iterdir()):
        if folder.is_dir():
            recipe = folder / "recipe.gin"
            about = _recipe(recipe) if recipe.is_file() else ""
            yield {"tokenizer": folder.name, "about": about}


def _recipe(path: Path) -> str:
    """Returns kind, size and text of a tokenizer that a recipe makes."""
    text = path.read_text(encoding="utf-8")
    values = dict(re.findall(r"^tokenizer_\S+\.(\w+) = (.*)$", text, re.MULTILINE))
    kind, size = values.get("model_type", "").strip("'"), values.get("vocab_size")
    corpus = values.get("input") or values.get("mixture_or_task_name") or "?"
    return f"{kind}, {size} pieces, of {corpus.strip(chr(39))}"


def tasks() -> Iterator[Row]:
    """Yields the tasks of the package `tasks` and whether their data are available."""
    return _indexed("task")


def mixtures() -> Iterator[Row]:
    """Yields the mixtures of the package `tasks` and whether their data are available."""
    return _indexed("mixture")


def _indexed(kind: str) -> Iterator[Row]:
    """Yields the entries of a kind from the index."""
    from lm.data.registry import task_index

    for entry in task_index.entries(kind):
        missing = entry.missing()
        data = f"missing: {missing[0]}" if missing else "here"
        if len(missing) > 1:
            data += f" and {len(missing) - 1} more"
        shown = "by name" if "<" in entry.name else data
        yield {kind: entry.name, "module": entry.module, "data": shown, "about": entry.about}


def templates() -> Iterator[Row]:
    """Yields the prompt templates of the tasks."""
    from lm.data.registry import on_demand, task_registry

    task_registry.import_modules()
    for family in on_demand.families():
        yield from family.templates()


def suites() -> Iterator[Row]:
    """Yields the suites of zero-shot questions with their question sets."""
    from lm.data.evaluation import questions

    for name, sets in questions.suites().items():
        names = [one.name for one in sets()]
        shown = ", ".join(names)
        if len(shown) > _WIDTH:
            shown = f"{names[0]}, ..., {names[-1]} ({len(names)})"
        yield {"suite": name, "question sets": shown}


def _headline(path: Path) -> str:
    """Returns the comment in the first line of a gin file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


_KINDS: dict[str, Callable[[], Iterator[Row]]] = {
    "configs": configs,
    "models": models,
    "tasks": tasks,
    "mixtures": mixtures,
    "templates": templates,
    "suites": suites,
    "tokenizers": tokenizers,
}
