"""Bar 14: what decides a run cannot change under it unnoticed, and may change by name."""

import re
import shutil
from pathlib import Path

from lm.checkpoint.store import FOLDER, steps
from tests.reliability import experiment
from tests.reliability.bar import Bar, Result
from tests.reliability.nursery import Nursery

TOKENIZER = """\
from __gin__ import dynamic_registration
from lm.data import vocabulary
VOCABULARY = @vocabulary.byte_vocabulary()
vocabulary.byte_vocabulary.extra_ids = 1
"""
# What is changed -> (flags, what the message must say); FOLDER is that of the bar.
CHANGES = {
    "batch": (["--gin.BATCH_SIZE=8"], "batch_size was 4, is 8"),
    "data file": ([], "sources.first.files.0.sha256 was"),
    "optimizer": (["--gin.LEARNING_RATE=0.5"], "peak was"),
    "seed": (["--gin.RANDOM_SEED=7"], "seed was 0, is 7"),
    "tokenizer": (["--gin_file=FOLDER/tokenizer.gin"], "extra_ids was"),
    "mixture": (["--gin.user.mixture.temperature=4.0"], "rates.1 was"),
    "accumulation": (["--gin.train.train.microbatches=4"], "microbatches was 2, is 4"),
    "lengths": (["--gin.TASK_FEATURE_LENGTHS={'targets': 24}"], "lengths.targets was 32, is 24"),
    "average": (["--gin.adamw.adamw.average=0.5"], "average was"),
}


def changed(trials: int, folder: Path) -> Result:
    """Changes one thing between runs: refused with old and new; its flags admit it."""
    file = experiment.write(folder / "experiment", steps=2, more="train.train.samples = None\n")
    (folder / "tokenizer.gin").write_text(TOKENIZER)
    # The schedule is the same however long the run.
    words = ["train", f"--gin_file={file}", "--gin.lm.optim.schedules.Cosine.steps=9"]
    failures = []
    with Nursery("jax", folder / "cache") as nursery:
        first = folder / "first"
        status = nursery.run(*words, f"--workdir={first}", log=folder / "first.log")
        assert status == 0, (folder / "first.log").read_text()[-2000:]
        for name in list(CHANGES)[:trials]:
            told = _refused(nursery, words, name, folder)
            failures += [f"{name}: {line}" for line in told]
    return Result(trials, failures, ", ".join(list(CHANGES)[:trials]))


def _refused(nursery: Nursery, words: list[str], name: str, folder: Path) -> list[str]:
    """Returns what went wrong with a change: it was not refused, or not admitted when asked."""
    flags, expected = CHANGES[name]
    workdir, log = folder / name.replace(" ", "_"), folder / f"{name}.log"
    shutil.copytree(folder / "first", workdir)
    text = folder / "experiment" / "first.txt"
    before = text.read_text()
    if name == "data file":
        text.write_text(before + "one more line\n")
    more = [flag.replace("FOLDER", str(folder)) for flag in flags]
    command = [*words, *more, f"--workdir={workdir}"]
    status = nursery.run(*command, log=log)
    said = log.read_text().partition("lm: error: ")[2]  # one line, and one for each difference
    wrong = [] if status == 1 and expected in said else [f"status {status}: {said}"]
    allow = re.findall(r"--allow-change=\S+", said)
    longer = "--gin.TRAIN_STEPS=3"
    status = nursery.run(*command, longer, *allow, log=log)
    text.write_text(before)
    if status != 0 or steps(workdir / FOLDER)[-1] != 3:
        wrong.append(f"with {allow}, status {status}: {log.read_text()[-300:]}")
    return wrong


BARS = [
    Bar(
        14,
        "changed",
        "a setting that affects results is changed: an error names old and new; its flag allows it",
        changed,
        short=2,
        long=len(CHANGES),
        slow=True,
    ),
]
