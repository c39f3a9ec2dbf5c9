"""What a configuration may not do, even by a module that `--gin_modules` names."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gin
from lm import config
from lm.errors import ConfigError
from lm.wall import wall

DEEDS = """
import ctypes, importlib, os, pickle, socket, subprocess, sys
from pathlib import Path

def runs(): subprocess.run(["/bin/sh", "-c", "touch trace"])
def calls_the_shell(): os.system("touch trace")
def forks(): os.fork()
def spawns(): os.posix_spawn("/bin/true", ["true"], {})
def becomes(): os.execv("/bin/true", ["true"])
def connects(): socket.create_connection(("127.0.0.1", 9))
def loads(): ctypes.CDLL("evil.so")
def unpickles(): pickle.loads(b"cposix\\nsystem\\n.")
def writes(): Path("trace").write_text("x")
def appends(): open("file", "a")
def truncates(): os.truncate("file", 0)
def removes(): Path("file").unlink()
def renames(): os.rename("file", "trace")
def links(): os.symlink("file", "trace")
def makes(): os.mkdir("trace")
def imports(): importlib.import_module("evil")
def imports_bytes(): importlib.import_module("bytes_of_evil")
def kills(): os.kill(os.getpid(), 0)

def caches():
    folder = Path(os.environ["LM_CACHE_DIR"])
    folder.mkdir()
    (folder / "new").write_text("x")
    os.rename(folder / "new", folder / "kept")
    return (folder / "kept").read_text()

def computes(): return importlib.import_module("colorsys").rgb_to_hsv(1, 0, 0)
"""
EXPECTED = {
    "runs": "may not start a process",
    "calls_the_shell": "may not start a process ('touch trace')",
    "forks": "may not start a process",
    "spawns": "may not start a process",
    "becomes": "may not start a process",
    "connects": "may not use the network",
    "loads": "may not load machine code",
    "unpickles": "may not read a pickle",
    "writes": "may not write 'trace'",
    "appends": "may not write 'file'",
    "truncates": "may not truncate 'file'",
    "removes": "may not remove 'file'",
    "renames": "may not rename 'file'",
    "links": "may not symlink 'file'",
    "makes": "may not mkdir 'trace'",
    "imports": "may not import",
    "imports_bytes": "may not import",
    "kills": "may not send process",
}

Value = Callable[[str], object]


@pytest.fixture
def value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Value]:
    """Evaluates a call of the module `deeds` that a gin file binds to a macro."""
    import compileall
    import shutil

    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "deeds.py").write_text(DEEDS)
    for name in ("evil", "bytes_of_evil"):
        (lib / f"{name}.py").write_text("from pathlib import Path\nPath('trace').touch()\n")
    compileall.compile_file(lib / "bytes_of_evil.py", ddir="<x>", legacy=True, quiet=2)
    (lib / "bytes_of_evil.py").unlink()
    shutil.rmtree(lib / "__pycache__", ignore_errors=True)
    (tmp_path / "file").write_text("precious")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(lib)
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "deeds", raising=False)

    def evaluated(name: str) -> object:
        text = f"from __gin__ import dynamic_registration\nimport deeds\nX = @deeds.{name}()\n"
        Path("run.gin").write_text(text)
        return config.load(["run.gin"], modules=["deeds"]).value("X")

    yield evaluated
    gin.clear_config()


@pytest.mark.parametrize("name", EXPECTED)
def test_refused_in_one_line_with_the_binding(name: str, value: Value) -> None:
    with pytest.raises(ConfigError) as error:
        value(name)
    line = str(error.value).splitlines()[0]
    assert line.startswith("run.gin:3: X may not "), line
    assert EXPECTED[name] in line
    assert not Path("trace").exists()
    assert Path("file").read_text() == "precious"


def test_the_cache_may_be_written(value: Value) -> None:
    assert value("caches") == "x"


def test_what_is_installed_may_be_imported(value: Value) -> None:
    sys.modules.pop("colorsys", None)
    assert value("computes") == (0.0, 1.0, 1)


def test_it_stands_only_while_the_body_runs(tmp_path: Path) -> None:
    with wall("X"), pytest.raises(ConfigError, match="X may not write"):
        (tmp_path / "file").write_text("x")
    (tmp_path / "file").write_text("x")
    assert os.listdir(tmp_path) == ["file"]


def test_endless_numbers_of_parts_are_refused() -> None:
    with wall("MODEL"), pytest.raises(ConfigError, match="MODEL is made of more than"):
        for _ in range(10**6):
            with wall("Stack.layers"):
                pass
