"""Everything that the modules of `tasks` register, as entries of the index of tasks."""

import contextlib
import importlib
from collections.abc import Iterator
from unittest import mock

import seqio

from lm.data.registry import on_demand, task_registry
from lm.data.registry.task_index import T5, Entry, about
from lm.errors import UserError
from tasks.support.local_data import DataSet

REGISTRIES = {"task": seqio.TaskRegistry, "mixture": seqio.MixtureRegistry}


def entries() -> list[Entry]:
    """Return what the modules of `tasks` register, the families, and the names of t5."""
    return sorted(
        [*_registered(), *_families(), *_of_t5()], key=lambda entry: (entry.kind, entry.name)
    )


def _registered() -> Iterator[Entry]:
    """Import module after module, and yield what each adds to the registries."""
    modules = task_registry.task_modules()
    for module in modules:
        before = {kind: set(registry.names()) for kind, registry in REGISTRIES.items()}
        importlib.import_module(f"tasks.{module}")
        for kind, registry in REGISTRIES.items():
            for name in set(registry.names()) - before[kind]:
                # A module may import others: a task belongs to the module that begins its name.
                begin = [other for other in modules if name.startswith(other)]
                home = f"tasks.{max(begin, key=len, default=module)}"
                parts = seqio.get_subtasks(registry.get(name))
                data = sorted({source for part in parts for source in _data(part)})
                yield Entry(name, kind, home, " ".join(data), about(home))


def _families() -> Iterator[Entry]:
    """Yield the patterns of the names that are made by rule."""
    for family in on_demand.families():
        home = f"tasks.{family.prefix.rstrip('_')}"
        for kind, patterns in (("task", family.tasks), ("mixture", family.mixtures)):
            for pattern, line in patterns.items():
                yield Entry(pattern, kind, home, "", line)


def _of_t5() -> Iterator[Entry]:
    """Yield the names that the package t5 adds, which no list shows."""
    before = set(task_registry.names())
    task_registry.register_t5()
    for name in set(task_registry.names()) - before:
        yield Entry(name, T5, "t5.data", "", "")


def _data(task: seqio.Task) -> Iterator[str]:
    """Yield `tfds:<name>`, or the first file below LM_DATA_DIR; nothing for what is built in."""
    if isinstance(task.source, seqio.TfdsDataSource):
        yield f"tfds:{task.source.tfds_dataset.name}"
        return
    asked: list[str] = []

    def note(self: DataSet, name: str) -> str:
        asked.append(f"{self.name}/{name}")
        raise UserError("noted")

    with mock.patch.object(DataSet, "_find", note):
        for split in task.splits:
            with contextlib.suppress(UserError, OSError):
                found = task.source.fingerprints[split]()
                asked += [f"tfds:{found['tfds']}"] if "tfds" in found else []
    yield from asked[:1]
