"""`lm list`: the gin files, models, tasks, mixtures, templates, suites and tokenizers there are."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from lm import resources
from lm.cli import output, table_page

HELP = "list gin files, models, tasks, mixtures, templates, suites or tokenizers"
EXAMPLE = """examples:
  lm list models
  lm list tasks --json
  lm list templates --html=templates.html
Tasks that t5 and TFDS register are not listed, but can be used by name."""

Row = dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kind of thing to list."""
    parser.add_argument("kind", choices=list(_KINDS), help="what to list")
    output.add_json(parser)
    parser.add_argument("--html", metavar="FILE", help="write the table to a page instead")


def run(args: argparse.Namespace) -> int:
    """Print the table, or write its page."""
    rows = list(_KINDS[args.kind]())
    if args.html:
        Path(args.html).write_text(table_page.page(args.kind, rows), encoding="utf-8")
        print(f"{args.html}: {len(rows):,} {args.kind}")
    elif args.json:
        output.print_json(rows)
    elif rows:
        output.print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        print(f"no {args.kind}")
    return 0


def configs(below: str = "") -> Iterator[Row]:
    """Yield the gin files below a folder, with their first line."""
    root = resources.gin_folder()
    for path in sorted((root / below).rglob("*.gin")):
        yield {"config": str(path.relative_to(root)), "about": _headline(path)}


def models() -> Iterator[Row]:
    """Yield the gin files of the models."""
    return configs("models")


def tokenizers() -> Iterator[Row]:
    """Yield the tokenizers; the byte vocabulary needs no file."""
    yield {"tokenizer": "byte", "about": "UTF-8 bytes; the default, needs no file"}
    for folder in sorted(resources.tokenizers_folder().iterdir()):
        if folder.is_dir():
            recipe = folder / "recipe.gin"
            about = _headline(recipe) if recipe.is_file() else ""
            yield {"tokenizer": folder.name, "about": about}


def tasks() -> Iterator[Row]:
    """Yield the tasks that the package `tasks` registers, with their module's first line."""
    from lm.data.registry import on_demand
    from lm.data.registry.task_registry import task_names

    yield from _registered("task", task_names)
    for family in on_demand.families():
        yield from _by_rule("task", family.prefix, family.tasks)


def mixtures() -> Iterator[Row]:
    """Yield the mixtures that the package `tasks` registers."""
    from lm.data.registry import on_demand
    from lm.data.registry.task_registry import mixture_names

    yield from _registered("mixture", mixture_names)
    for family in on_demand.families():
        yield from _by_rule("mixture", family.prefix, family.mixtures)


def templates() -> Iterator[Row]:
    """Yield the templates by which tasks write their prompts."""
    from lm.data.registry import on_demand, task_registry

    task_registry.import_modules()
    for family in on_demand.families():
        yield from family.templates()


def suites() -> Iterator[Row]:
    """Yield the suites of zero-shot questions with their question sets."""
    from lm.data.evaluation import questions

    for name, sets in questions.suites().items():
        yield {"suite": name, "question sets": ", ".join(one.name for one in sets())}


def _by_rule(kind: str, prefix: str, patterns: Mapping[str, str]) -> Iterator[Row]:
    """Yield the patterns of the names that a family makes."""
    module = f"tasks.{prefix.rstrip('_')}"
    for pattern, about in patterns.items():
        yield {kind: pattern, "module": module, "about": about}


def _registered(kind: str, names: Callable[[], set[str]]) -> Iterator[Row]:
    """Yield the names that every module of `tasks` adds to a registry."""
    import importlib

    from lm.data.registry import task_registry

    modules = [f"tasks.{module}" for module in task_registry.task_modules()]
    for module in modules:
        before = names()
        importlib.import_module(module)
        for name in sorted(names() - before):
            # A module may import others: a task belongs to the module of its name.
            home = next((other for other in modules if other == f"tasks.{name}"), module)
            yield {kind: name, "module": home, "about": _summary(sys.modules[home])}


def _summary(module: ModuleType) -> str:
    """Return the first line of a module's docstring, without the task names before the colon."""
    line = (module.__doc__ or "").strip().partition("\n")[0]
    return line.partition(": ")[2] or line


def _headline(path: Path) -> str:
    """Return the comment at the head of a gin file."""
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
