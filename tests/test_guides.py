"""Every command of the guides in docs/ runs, in its order, with the files that the guide shows."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ("gin", "your_data", "fine_tune", "run_folder", "add_an_architecture", "recipes")
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
POEM = "\n".join(f"The {n}th line of a poem: {'la ' * (n % 7)}{n * n}." for n in range(40)) + "\n"
ROWS = [(f"a {'fine' if n % 2 else 'dull'} film, seen {n} times", str(n % 2)) for n in range(40)]

# `lm` as the guides call it, made small by further flags.
LM = f"""#!/bin/bash
verb="$1"; shift
case "$verb" in
  train|verify-resume) set -- "$@" --gin_file=tiny.gin --gin.BATCH_SIZE=2 ;;&
  train) set -- "$@" --gin.EVAL_PERIOD=2 --gin.TRAIN_STEPS=2 ;;
  verify-resume) set -- "$@" --steps=4 --kills=1 ;;
  eval) set -- "$@" --gin.evaluate.limit=3 ;;
  generate) set -- "$@" --gin.generate.max_new_tokens=4 ;;
  tokenizer) set -- "${{@/--vocab_size=4000/--vocab_size=400}}" ;;
esac
exec {sys.executable} -m lm "$verb" "$@"
"""


def blocks(name: str, kind: str) -> list[str]:
    """The blocks of a kind that a guide shows, in order."""
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for word, block in found if word == kind]


def write_files(folder: Path, name: str) -> None:
    """Writes the files that a guide shows, named in their first lines, and those it takes along."""
    for block in [*blocks(name, ""), *blocks(name, "python")]:
        if shown := re.match(r"# (\w+\.(?:gin|py))\b", block):
            (folder / shown[1]).write_text(block, encoding="utf-8")
    (folder / "poems").mkdir()
    (folder / "poems" / "one.txt").write_text(POEM, encoding="utf-8")
    tables = {"reviews.tsv": ("text", "label"), "questions.tsv": ("question", "answer")}
    for file, header in tables.items():
        lines = ["\t".join(row) for row in (header, *ROWS)]
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "train.en").write_text(POEM, encoding="utf-8")
    (folder / "train.de").write_text(POEM.upper(), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_commands_run_one_after_the_other(name: str, tmp_path: Path) -> None:
    write_files(tmp_path, name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lm").write_text(LM)
    (tmp_path / "bin" / "lm").chmod(0o755)
    environment = {
        **os.environ,
        "LM_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }
    for command in "".join(blocks(name, "sh")).splitlines():
        done = subprocess.run(
            ["bash", "-ec", command],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_command_has_the_flags_that_it_is_shown_with(path: Path) -> None:
    """Also of those that need a download or devices, and are not run here."""
    from lm.cli import flags
    from lm.cli.main import verb_parser
    from lm.errors import ConfigError

    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    refused = {}
    commands = [line for line in "".join(shown).splitlines() if line.startswith("lm ")]
    for line in commands:
        words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        try:
            verb_parser(words[1]).parse_args(flags.rewritten(words[2:]))
        except (ConfigError, SystemExit) as error:
            refused[line] = str(error)
    assert refused == {}


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_links_lead_to_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_gin_file_that_a_guide_shows_is_sound(tmp_path: Path, monkeypatch) -> None:
    """By source alone, so in no time."""
    from lm.config.faults import of_files

    for name in GUIDES:
        folder = tmp_path / name
        folder.mkdir()
        write_files(folder, name)
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)
        for file in folder.glob("*.gin"):
            modules = [path.stem for path in folder.glob("*.py")]
            found = of_files([str(file)], modules=modules, roots=["lm.train.train"])
            assert found == [], (name, file.name, found)


def test_names_of_gin_files_in_the_guides_exist() -> None:
    """Also in tables and sentences."""
    for path in (ROOT / "docs").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        named = re.findall(
            r"`((?:runs|data|optim|objectives|features|mesh|models)/[\w/]+\.gin)`", text
        )
        missing = [name for name in named if not (ROOT / "gin" / name).is_file()]
        assert missing == [], path.name


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Its cells one after the other, in a process of their own; no kernel is needed for that."""
    notebook = json.loads((ROOT / "docs" / "first_model.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    code = "import matplotlib; matplotlib.use('agg')\n" + "\n".join(cells)
    small = code.replace("STEPS = 60", "STEPS = 6").replace("EVAL_PERIOD = 30", "EVAL_PERIOD = 3")
    environment = {**os.environ, "LM_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", small],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "notebook" / "checkpoints" / "6").is_dir()
