"""The rules of the house that no linter knows: sizes, data folders, docstrings, words.

Each test lists what breaks its rule, so that a failure names what to correct.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted(path for part in ("lm", "tasks") for path in (ROOT / part).rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TASKS = sorted(path.stem for path in (ROOT / "tasks").glob("[!_]*.py"))
GIN_FILES = sorted([*(ROOT / "gin").rglob("*.gin"), *(ROOT / "tokenizers").rglob("*.gin")])
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
EQUATION = re.compile(r"[=→·]|->")
IMPERATIVE = re.compile(r"(Add|Check|Make|Print|Read|Refuse|Return|Run|Write|Yield)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(text(path))))


def functions(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    for path in paths:
        for node in nodes(path):
            if isinstance(node, Function):
                yield f"{relative(path)}:{node.lineno} {node.name}", node


def length(function: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def imports(path: Path) -> set[str]:
    """Full names of all that a file imports; `from a import b` is `a.b`."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def longer_than(limit: int, paths: list[Path]) -> list[str]:
    counted = {relative(path): len(text(path).splitlines()) for path in paths}
    return [f"{name}: {count} lines" for name, count in counted.items() if count > limit]


def test_files_have_one_subject() -> None:
    everything = [*LIBRARY, *TOOLS, *TESTS, ROOT / "setup.py", ROOT / "conftest.py"]
    assert longer_than(400, everything) == []


def test_functions_fit_on_a_screen() -> None:
    long = [f"{name}: {length(f)}" for name, f in functions([*LIBRARY, *TOOLS]) if length(f) > 60]
    assert long == []


def test_docstrings_describe_in_the_third_person() -> None:
    """`Returns ...` and `Yields ...`, not `Return ...` and `Yield ...`."""
    found = functions([*LIBRARY, *TOOLS, *TESTS])
    assert [name for name, f in found if IMPERATIVE.match(ast.get_docstring(f) or "")] == []


def test_tools_only_call_what_is_tested() -> None:
    assert longer_than(30, TOOLS) == []
    assert [relative(path) for path in TOOLS if not roots(path) & {"lm", "tests"}] == []


def test_no_tool_hides_a_module() -> None:
    """A script's folder is first on its path; `compression` is a module since Python 3.14."""
    taken = {*sys.stdlib_module_names, "compression"}
    assert [path.name for path in TOOLS if path.stem in taken] == []


def test_no_constructor_swallows_misspelt_arguments() -> None:
    """With `**kwargs` gin cannot reject a parameter that does not exist."""
    constructors = [(name, f) for name, f in functions(LIBRARY) if f.name == "__init__"]
    assert [name for name, f in constructors if f.args.kwarg] == []


def unsafe(path: Path) -> set[str]:
    calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
    called = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    keywords = {word.arg for call in calls for word in call.keywords if word.arg}
    return called & UNSAFE_CALLS | keywords & {"allow_pickle"} | roots(path) & UNSAFE_MODULES


def test_nothing_unsafe_is_read_or_run() -> None:
    found = {relative(path): unsafe(path) for path in [*LIBRARY, *TOOLS, ROOT / "setup.py"]}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("folder", ["gin", "tokenizers"])
def test_data_folders_hold_no_python(folder: str) -> None:
    """With an `__init__.py` they would shadow the installed packages of the same names."""
    assert (ROOT / folder).is_dir()
    assert [relative(path) for path in (ROOT / folder).rglob("*.py*")] == []


def test_tasks_have_one_import_name() -> None:
    """A second name for a task's file would register its tasks twice."""
    everything = [*LIBRARY, *TOOLS, *TESTS]
    assert [relative(path) for path in everything if roots(path) & set(TASKS)] == []


def layers() -> Iterator[tuple[str, ast.ClassDef]]:
    """Public classes that compute something: no tuples, not the interface `Branch`."""
    for part in ("nn", "models", "objectives"):
        for path in sorted((ROOT / "lm" / part).glob("*.py")):
            for node in nodes(path):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield f"{relative(path)}:{node.name}", node


def test_layers_say_their_equation_or_their_source() -> None:
    silent = []
    for name, layer in layers():
        docstring = ast.get_docstring(layer) or ""
        is_record = {"NamedTuple", "Protocol"} & set(map(ast.unparse, layer.bases))
        if not (is_record or "Source:" in docstring or EQUATION.search(docstring)):
            silent.append(name)
    assert silent == []


def header(path: Path) -> tuple[bool, str]:
    """Whether a gin file begins with a comment, and its first line of code."""
    lines = [line for line in text(path).splitlines() if line.strip()]
    return lines[0].startswith("# "), next(line for line in lines if not line.startswith("#"))


def test_gin_files_have_their_header() -> None:
    right = (True, "from __gin__ import dynamic_registration")
    assert [relative(path) for path in GIN_FILES if header(path) != right] == []


def test_tasks_are_used_by_gin_files() -> None:
    named = " ".join(map(text, GIN_FILES))
    pattern = r"(from tasks import |\btasks\.){}\b"
    assert [task for task in TASKS if not re.search(pattern.format(task), named)] == []
