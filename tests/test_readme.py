"""The commands of the README do what it says, in its order, on twenty lines of text."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
POEM = "\n".join(f"The {n}th line of a poem: {'la ' * (n % 7)}{n * n}." for n in range(20)) + "\n"
SMALL = {
    "train": "--gin_file=tiny.gin --gin.BATCH_SIZE=2 --gin.EVAL_PERIOD=2 --gin.TRAIN_STEPS=2",
    "eval": "--gin.evaluate.limit=3",
    "generate": "--gin.generate.max_new_tokens=4",
    "verify-resume": "--gin_file=tiny.gin --gin.BATCH_SIZE=2 --steps=4 --kills=1",
}
SMALLER = {
    "--gin_file=models/t5_1_1/xxl.gin": "--gin_file=models/t5_1_1/small.gin",
    "--gin.TRAIN_STEPS=500": "--gin.TRAIN_STEPS=2",
    "--vocab_size=4000": "--vocab_size=400",
}


def commands() -> list[str]:
    """The README's lines that begin with `lm`, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("lm ")]


def written(name: str) -> str:
    """The gin file that the README shows under this name."""
    found = re.search(rf"```\n(# {name}.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.slow
def test_commands_run_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "one.txt").write_text(POEM, encoding="utf-8")
    (tmp_path / "my_text.gin").write_text(written("my_text.gin"), encoding="utf-8")
    (tmp_path / "lines.jsonl").write_text('{"text": "Return a list."}\n', encoding="utf-8")
    environment = {**os.environ, "LM_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    for command in commands():
        verb, *words = shlex.split(command, comments=True)[1:]
        words = [SMALLER.get(word, word) for word in words] + SMALL.get(verb, "").split()
        done = subprocess.run(
            [sys.executable, "-m", "lm", verb, *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout or verb == "train", f"{command} printed nothing"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine", "poems"]
