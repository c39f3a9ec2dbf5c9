"""Self-training: a classifier labels texts and a new one is trained on them, in rounds.

    WORKDIR/settings.json
    WORKDIR/round_0/run/                 trained on the labelled examples
    WORKDIR/round_0/predictions.jsonl    its predictions for the unlabelled texts
    WORKDIR/round_1/run/                 trained from scratch on both; and so on

Every round starts from the same initial weights, so that errors of one round do not persist in the
weights. A round with predictions is finished; the same command continues.

Source: Vu et al. 2021 (https://arxiv.org/abs/2109.06270), section 2.2, and its release.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm.checkpoint.folder import verify
from lm.checkpoint.store import best
from lm.errors import UserError
from lm.experiments import command
from lm.train import reporter

RUN, PREDICTIONS, SETTINGS = "run", "predictions.jsonl", "settings.json"
MACRO = "PREDICTIONS"


def self_train(
    *,
    flags: Sequence[str],
    unlabelled: str,
    rounds: int,
    patience: int,
    workdir: Path,
) -> list[dict[str, Any]]:
    """Trains round after round and returns the metrics of each.

    Args:
        flags: of `lm train`, whose configuration has the macro PREDICTIONS
            (`data/self_training.gin`).
        unlabelled: file of texts, as for `lm predict`.
        rounds: maximum number of rounds.
        patience: rounds without a better validation metric after which to stop.
        workdir: folder of all rounds.

    Raises:
        UserError: a command failed, or the folder was made with other flags or texts.
    """
    check_settings({"flags": list(flags), "unlabelled": unlabelled}, workdir / SETTINGS)
    found: list[dict[str, Any]] = []
    predictions = None
    for number in range(rounds):
        folder = workdir / f"round_{number}"
        if not (folder / PREDICTIONS).exists():
            make_round(folder, flags, unlabelled, predictions)
        predictions = folder / PREDICTIONS
        found.append({"round": number, **metrics(folder / RUN)})
        if rounds_without_gain([row["score"] for row in found]) >= patience:
            break
    return found


def make_round(
    folder: Path, flags: Sequence[str], unlabelled: str, predictions: Path | None
) -> None:
    """Trains a classifier and labels the texts with its best checkpoint.

    Args:
        folder: of the round.
        flags: of `lm train`.
        unlabelled: the file of texts.
        predictions: of the round before.
    """
    run, partial = folder / RUN, folder / f"{PREDICTIONS}.partial"
    given = [] if predictions is None else [f"--gin_bindings={MACRO} = {str(predictions)!r}"]
    command.run("train", *flags, *given, f"--workdir={run}", what=folder.name)
    words = ["--checkpoint=best", f"--input={unlabelled}", f"--output={partial}", "--json"]
    command.run("predict", f"--workdir={run}", *words, what=folder.name)
    partial.replace(folder / PREDICTIONS)


def metrics(run: Path) -> dict[str, Any]:
    """Returns step, score (higher is better) and metrics of the best checkpoint of a run."""
    manifest = verify(best(run))
    rows = reporter.rows(run / reporter.METRICS)
    row = next(row for row in rows if row["step"] == manifest.step and "task" in row)
    values = {name: value for name, value in row.items() if isinstance(value, float)}
    return {"step": manifest.step, "score": -manifest.metadata["metric"], **values}


def rounds_without_gain(scores: Sequence[float]) -> int:
    """Returns how many rounds ago the best score was first reached.

    Example:
        >>> rounds_without_gain([1.0, 3.0, 2.0, 3.0]), rounds_without_gain([1.0])
        (2, 0)
    """
    return len(scores) - 1 - scores.index(max(scores))


def check_settings(settings: Mapping[str, Any], path: Path) -> None:
    """Saves the settings of a folder, or compares them with the saved ones.

    Raises:
        UserError: the settings differ.
    """
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        if changed := [name for name in settings if settings[name] != before.get(name)]:
            raise UserError(f"{path}: started with other {changed[0]}; give another --workdir")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n", "utf-8")
