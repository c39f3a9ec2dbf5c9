"""Calls everything that a gin file can name with hostile arguments, and records what it does.

Run as a program in a folder of its own, given roots such as `lm` or full paths of objects: it
prints one JSON object, `called` (the paths), `calls` (their number) and `deeds` (path -> what the
wall would have refused).
"""

import contextlib
import functools
import importlib
import inspect
import json
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lm import parts, wall
from lm.config import admit
from lm.config.names import KERAS_ROOTS, OWN_ROOTS, REFUSED, lies_in
from lm.config.parameters import is_valid

# What only an extra of the package needs.
_EXTRAS = {"torch", "transformers", "ctranslate2", "lm_eval", "onnx", "onnxruntime", "tf2onnx"}
_SECONDS = 20


def modules(roots: Sequence[str]) -> Iterator[ModuleType]:
    """Imports the modules below some roots that a gin file may import."""
    yield from (importlib.import_module(root) for root in KERAS_ROOTS if lies_in(root, roots))
    for root in set(OWN_ROOTS) & set(roots):
        package = importlib.import_module(root)
        for found in pkgutil.walk_packages(package.__path__, f"{root}."):
            if lies_in(found.name, REFUSED) or found.name.endswith("__main__"):
                continue
            try:
                yield importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name not in _EXTRAS:
                    raise


def admitted(roots: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Returns what a gin file can refer to, by path, each object once; entries are only bound."""
    found: dict[int, tuple[str, Any]] = {}
    for module in modules(roots):
        for name in admit.parts_of(module, ()):
            value = getattr(module, name)
            if parts.use_of(value) is not parts.Use.ENTRY:
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    return dict(found.values())


def named(paths: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Returns the objects among some roots, admitted or not."""
    pairs = [path.rsplit(".", 1) for path in paths if "." in path]
    return {".".join(pair): getattr(importlib.import_module(pair[0]), pair[1]) for pair in pairs}


def lures(workspace: Path) -> list[Any]:
    """Lays out what could be harmed, and returns arguments that would if something used them."""
    (workspace / "folder").mkdir()
    for name in ("file", "folder/file"):
        (workspace / name).write_text("precious\n")
    (workspace / "lure.py").write_text("from pathlib import Path\nPath('trace').touch()\n")
    shell = ["/bin/sh", "-c", "touch trace"]
    paths = [workspace / name for name in ("file", "folder", "new")]
    texts = [" ".join(shell), *map(str, paths), "lure", "http://127.0.0.1:9/x", ""]
    lists = [shell, [str(path) for path in paths], ["--gin_modules=lure"], [], {}]
    return [
        *texts,
        *paths,
        *lists,
        {"train": str(paths[0]), "x": 8},
        0,
        3,
        -1,
        2.5,
        True,
        None,
        answer,
    ]


def answer(*given: Any, **named: Any) -> str:
    """Stands for a reference."""
    return "file"


def arguments(found: Callable[..., Any], values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yields every value for all parameters, and for each one alone, the rest as annotated."""
    try:
        listed = list(inspect.signature(found, eval_str=True).parameters.values())
    except (TypeError, ValueError, NameError):
        listed = []
    named = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p for p in named if p.default is p.empty]
    usual = {
        p.name: next((v for v in values if is_valid(v, p.annotation)), answer) for p in required
    }
    yield usual
    for value in values:
        yield dict.fromkeys((p.name for p in named), value)
        for parameter in named:
            yield {**usual, parameter.name: value}


class Recorder:
    """An audit hook that notes what the wall would refuse, and refuses nothing."""

    def __init__(self) -> None:
        self.is_on = False
        self.deeds: set[str] = set()

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        """Notes a deed."""
        if self.is_on and (deed := wall.deed(event, given)):
            self.deeds.add(deed)


RECORDER = Recorder()


def deeds_of(found: Callable[..., Any], values: list[Any]) -> list[str]:
    """Returns what an object did in all of its calls."""
    install()
    RECORDER.deeds.clear()
    before = signal.signal(signal.SIGALRM, _late)
    for given in arguments(found, values):
        signal.alarm(_SECONDS)
        RECORDER.is_on = True
        _call(found, given)
        RECORDER.is_on = False
        signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    return sorted(RECORDER.deeds)


@functools.cache
def install() -> None:
    """Sets the hook, which cannot be taken away."""
    sys.addaudithook(RECORDER)


def _call(found: Callable[..., Any], given: dict[str, Any]) -> None:
    """Calls, and calls what comes of it; whatever they raise, it is what they do that counts."""
    with contextlib.suppress(BaseException):
        made = found(**given)
        if callable(made):
            made()


def _late(number: int, frame: Any) -> None:
    """Ends a call that takes too long."""
    raise TimeoutError


def main(roots: Sequence[str]) -> None:
    """Sweeps and prints what was found."""
    workspace = Path.cwd()
    os.environ["LM_CACHE_DIR"] = str(workspace / "cache")
    sys.path.insert(0, str(workspace))
    everything = admitted(roots) | named(roots)
    values = lures(workspace)
    calls = sum(1 for found in everything.values() for _ in arguments(found, values))
    deeds = {path: deeds_of(found, values) for path, found in everything.items()}
    deeds = {path: found for path, found in deeds.items() if found}
    print(json.dumps({"called": list(everything), "calls": calls, "deeds": deeds}))


if __name__ == "__main__":
    main(sys.argv[1:])
