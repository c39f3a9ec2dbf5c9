"""Bar on hostile files: no code runs, nothing crashes, nothing is written elsewhere."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lm import checkpoint
from lm.data.batching import iterator_position
from lm.errors import UserError
from tests.reliability import hostile
from tests.reliability.bar import ROOT, Bar, Result

# Opens each model in one process, as a run would, and prints what became of it.
TRIAL = """
import resource, sys
from lm.data.vocabulary import sentencepiece_vocabulary
from lm.errors import UserError
for line in sys.stdin:
    try:
        vocabulary = sentencepiece_vocabulary(line.strip())
        vocabulary.decode(vocabulary.encode("probe a"))
        vocabulary.encode_tf("probe a")
        said = "opened"
    except UserError as error:
        said = "one line" if "\\n" not in str(error) else "lines"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:200].replace("\\n", " ")
    print(said, flush=True)
"""
SECONDS = 20
MEBIBYTES = 64


def hostile_files(trials: int, folder: Path) -> Result:
    """Opens hostile tokenizers, checkpoints and positions."""
    checkpoints = [
        *((name, filled(make)) for name, make in hostile.WEIGHTS.items()),
        *hostile.FOLDERS.items(),
    ]
    positions = list(hostile.POSITIONS.items())
    models = list(hostile.MODELS.items())
    share = trials // 3 if trials < len(models) + len(checkpoints) + len(positions) else trials
    models, checkpoints = models[:share], checkpoints[: max(share, trials - 2 * share)]
    positions = positions[: max(0, trials - len(models) - len(checkpoints))]
    failures = [*opened(models, folder / "models")]
    for name, spoil in checkpoints:
        failures += [f"{name}: {said}" for said in loaded(spoil, folder / "run" / name)]
    for name, make in positions:
        failures += [f"{name}: {said}" for said in restored(make())]
    written = [str(path) for path in [*folder.rglob("pwned"), *ROOT.glob("pwned")]]
    return Result(len(models) + len(checkpoints) + len(positions), failures + written)


def opened(models: list[tuple[str, Callable[[], bytes]]], folder: Path) -> list[str]:
    """Returns which models did not end as opened, or as an error of one line."""
    folder.mkdir()
    paths = [folder / f"{number}.model" for number in range(len(models))]
    for path, (_, make) in zip(paths, models, strict=True):
        path.write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", TRIAL],
        input="".join(f"{path}\n" for path in paths),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout.splitlines()
    said += [f"the process ended with {done.returncode}"] * (len(models) - len(said))
    pairs = zip(models, said, strict=True)
    return [f"{name}: {line}" for (name, _), line in pairs if line not in ("opened", "one line")]


def filled(make: Callable[[], bytes]) -> Callable[[Path], None]:
    """Returns a function that puts this content in the place of the weights, hashes and all."""

    def spoil(place: Path) -> None:
        content = make()
        manifest = json.loads((place / "MANIFEST.json").read_text())
        (place / "weights.safetensors").write_bytes(content)
        facts = manifest["files"]["weights.safetensors"]
        import hashlib

        facts |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        hostile.sealed(place, json.dumps(manifest).encode())

    return spoil


def loaded(spoil: Callable[[Path], None], folder: Path) -> list[str]:
    """Returns what is wrong with the way in which a spoilt checkpoint ends."""
    tensors = {"x": np.ones(2, "float32")}
    place = folder / "checkpoints" / "1"
    checkpoint.write(place, step=1, groups={"weights": tensors}, data_state=b"", metadata={})
    spoil(place)

    def load() -> None:
        checkpoint.verify(checkpoint.find(folder))
        arrays = checkpoint.read(place, "weights")
        checkpoint.assign({"x": Slot()}, arrays, source=place)

    return guarded(load)


class Slot:
    """Stands for a variable."""

    shape, dtype = (2,), "float32"

    def assign(self, value: np.ndarray) -> None:
        """Refuses what no run has saved."""
        if not np.isfinite(value).all():
            raise UserError("not finite")


def restored(state: bytes) -> list[str]:
    """Returns what is wrong with the way in which a spoilt position ends."""
    import tensorflow as tf

    return guarded(
        lambda: iterator_position.restore(iter(tf.data.Dataset.range(3)), state, {"a": 1})
    )


def guarded(act: Callable[[], None]) -> list[str]:
    """Returns what is wrong with an end that must be an error of one line, soon and small."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        act()
        end = ["accepted"]
    except UserError as error:
        end = ["\n in the message"] if "\n" in str(error) else []
    except BaseException as error:
        end = [f"{type(error).__name__}: {str(error)[:200]}"]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return end + [f"{grown:.0f} MiB more memory"] * (grown > MEBIBYTES)


def _late(number: int, frame: object) -> None:
    raise TimeoutError(f"over {SECONDS} s")


BARS = [
    Bar(
        12,
        "hostile files",
        "a crafted tokenizer or checkpoint runs no code, crashes nothing, writes nothing elsewhere",
        hostile_files,
        short=52,
        long=52,
        slow=True,
    ),
]
