"""Bars on gin files: wrong ones are named by file and line, hostile ones refused by reading."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.config import test_bad_configs as wrong
from tests.config import test_hostile as hostile
from tests.config.conftest import GOOD, PARTS
from tests.reliability.bar import ROOT, Bar, Result

# Loads each configuration in one process and prints, line by line, what became of it.
TRIAL = """
import json, sys
from pathlib import Path
from lm import config
from lm.errors import ConfigError
modules = json.loads(sys.argv[1])
for line in sys.stdin:
    text, binding, roots = json.loads(line)
    Path("run.gin").write_text(text)
    try:
        config.load(["run.gin"], binding, modules=modules, roots=roots)
        said = ["accepted", 0, ""]
    except Exception as error:
        said = [type(error).__name__, getattr(error, "exit_code", 1), str(error)]
    imported = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps([*said, Path("trace").exists(), imported]), flush=True)
"""
FRAMEWORKS = {"tensorflow", "jax", "keras", "seqio", "torch"}


def loaded(cases: list[tuple], folder: Path, modules: list[str]) -> list[list]:
    """Returns for each configuration: error, exits code, message, trace left, modules imported."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, json.dumps(modules)],
        input="".join(json.dumps(case) + "\n" for case in cases),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    crash = [f"exit {done.returncode}: {done.stderr[-300:]}", 1, "", False, []]
    return found + [crash] * (len(cases) - len(found))


def mistakes(trials: int, folder: Path) -> Result:
    """Loads files with one mistake each: exit code 2, one line, the place, what was meant."""
    (folder / "parts.py").write_text(PARTS)
    lines = [(f"{GOOD}{line}\n", [], said) for line, *said in wrong.WRONG_LINES.values()]
    given = [(GOOD, [binding], said) for binding, *said in wrong.WRONG_FLAGS.values()]
    cases = [*lines, *given][:trials]
    asked = [(text, binding, ["parts.train"]) for text, binding, _ in cases]
    failures = []
    for (text, binding, said), found in zip(cases, loaded(asked, folder, ["parts"]), strict=True):
        kind, code, message, _, imported = found
        is_right = kind == "ConfigError" and code == 2 and "\n" not in message
        touched = FRAMEWORKS & set(imported)
        if not is_right or touched or not all(part in message for part in said):
            what = binding or text.removeprefix(GOOD).strip()
            failures.append(f"{what}: {kind} {message[:200]} {sorted(touched)}")
    return Result(len(cases), failures)


def attacks(trials: int, folder: Path) -> Result:
    """Loads files that want to run something: refused, nothing imported, no trace left."""
    for name in ("evil", "lmx"):
        (folder / f"{name}.py").write_text("open('trace', 'w')\n")
    (folder.parent / "outside.gin").write_text("A = 1\n")
    (folder / "link.gin").symlink_to(folder.parent / "outside.gin")
    (folder / "parts.py").write_text(PARTS)
    unread = list(hostile.UNREAD.items())[:trials]
    walks = list(hostile.WALKS.items())[: trials - len(unread)]
    own = [(name, text) for name, (text, _) in hostile.OWN.items()]
    own = own[: trials - len(unread) - len(walks)]
    failures = []
    for attempts, modules in ((unread, []), (walks, ["parts"]), (own, [])):
        cases = [(hostile.HEAD * ("without" not in n) + t + "\n", [], []) for n, t in attempts]
        for (name, _), found in zip(attempts, loaded(cases, folder, modules), strict=True):
            kind, _, message, has_run, imported = found
            foreign = {"evil", "lmx"} & set(imported) or {"parts"} & set(imported) - set(modules)
            if kind != "ConfigError" or "run.gin:" not in message or has_run or foreign:
                failures.append(f"{name}: {kind} {message[:200]} {foreign}")
    return Result(len(unread) + len(walks) + len(own), failures)


BARS = [
    Bar(
        10,
        "gin mistakes",
        "an invalid gin file is an error with file and line before a framework is imported",
        mistakes,
        short=60,
        long=60,
    ),
    Bar(
        11,
        "hostile gin files",
        "a gin file that would run code is rejected by parsing; no foreign module is imported",
        attacks,
        short=51,
        long=51,
    ),
]
