"""What is shipped agrees with itself: versions, constraints, commands of the README, the wheel."""

import argparse
import importlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

import lm
from lm.cli import flags

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = sorted((ROOT / "constraints").glob("py3*.txt"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def distribution(requirement: str) -> str:
    """The normalised name in a requirement."""
    return re.split(r"[\[=<>~!; ]", requirement)[0].lower().replace("_", "-")


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The arguments that setup.py gives to setuptools."""
    seen: dict[str, object] = {}
    monkeypatch.setattr(setuptools, "setup", seen.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return seen


def test_one_version(described: dict[str, object]) -> None:
    assert described["version"] == lm.__version__
    assert f"version: {lm.__version__}" in read("CITATION.cff")
    assert f"## {lm.__version__}" in read("CHANGELOG.md")


def test_each_python_has_its_constraints(described: dict[str, object]) -> None:
    classifiers = described["classifiers"]
    assert isinstance(classifiers, list)
    pythons = [c.split()[-1] for c in classifiers if re.search(r"Python :: 3\.\d+", c)]
    assert [path.stem for path in CONSTRAINTS] == ["py" + p.replace(".", "") for p in pythons]


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_pin_every_requirement(path: Path, described: dict[str, object]) -> None:
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    install, extras = described["install_requires"], described["extras_require"]
    assert isinstance(install, list) and isinstance(extras, dict)
    pinned = {distribution(line) for line in lines}
    wanted = [*install, *extras["test"], *extras["docs"], *extras["parity"]]
    assert {distribution(requirement) for requirement in wanted} <= pinned
    assert "seqio" not in pinned, "seqio and seqio-nightly overwrite each other"


def readme_commands() -> list[str]:
    """The shell lines of the README, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", read("README.md"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_readme_names_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = {line.split()[1] for line in readme_commands() if line.startswith("make ")}
    assert {"quickstart", "test"} <= named
    assert named - targets == set()


def test_readme_names_gin_files_that_are_there() -> None:
    named = set(re.findall(r"gin_file=([\w./-]+\.gin)", "\n".join(readme_commands())))
    shipped = {name for name in named if not name.startswith("my")}
    assert {n for n in shipped if not any((p / n).is_file() for p in (ROOT, ROOT / "gin"))} == set()


@pytest.mark.parametrize("command", [line for line in readme_commands() if line.startswith("lm ")])
def test_readme_commands_parse(command: str) -> None:
    verb, *words = shlex.split(command, comments=True)[1:]
    module = importlib.import_module(f"lm.cli.{verb.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"lm {verb}", allow_abbrev=False, exit_on_error=False)
    module.add_arguments(parser)
    assert parser.parse_args(flags.rewritten(words))


def test_ci_runs_what_the_readme_promises() -> None:
    script = read(".ci/run").splitlines()
    assert [line for line in script if line.startswith("make ")] == ["make check", "make test"]
    assert "set -euo pipefail" in script


@pytest.mark.slow
def test_the_wheel_carries_gin_files_and_tokenizers(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("lm", "tasks", "gin", "tokenizers"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = set(wheel.namelist())
    data = [path for name in ("gin", "tokenizers") for path in (ROOT / name).rglob("*")]
    expected = {f"lm/{path.relative_to(ROOT).as_posix()}" for path in data if path.is_file()}
    expected |= {"lm/py.typed", "tasks/py.typed", "tasks/python_docs.py", "lm/cli/main.py"}
    assert expected - shipped == set()
    assert {name.split("/")[0].split("-")[0] for name in shipped} == {"lm", "tasks", "seqlm"}
