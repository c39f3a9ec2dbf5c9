"""A disk that forgets: what survives a power cut is what was synced, and by luck something more."""

import os
import random
from pathlib import Path
from typing import Any

FILE, FOLDER = "file", "folder"
Survivor = tuple[str, int] | None


class Power:
    """Follows every fsync under a folder, and cuts the power at one of its file operations.

    A file's contents are on the disk as they were at its last fsync, a folder's names as they were
    at its own. After the cut nothing becomes durable any more, though the program runs on.

    Args:
        root: the folder.
        cut: number of the operation before which the power goes.

    Attributes:
        is_off: whether it went.
    """

    def __init__(self, root: Path, *, cut: int) -> None:
        self.root = str(root)
        self.is_off = False
        self._left = cut
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[str, int]]] = {}
        self._live_contents: dict[int, bytes] = {}
        self._live_names: dict[int, dict[str, tuple[str, int]]] = {}
        self._held: list[int] = []

    def __enter__(self) -> "Power":
        self._whole = {name: getattr(os, name) for name in ("fsync", "rename", "mkdir", "open")}
        for name in self._whole:
            setattr(os, name, self._wrapped(name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self._whole.items():
            setattr(os, name, function)
        if not self.is_off:
            self._cut()
        for descriptor in self._held:
            os.close(descriptor)

    def image(self, source: Path, target: Path, rng: random.Random, luck: float) -> None:
        """Writes what a person finds on the disk afterwards.

        Args:
            source: a folder under the root.
            target: where to write it.
            rng: decides what survives though it was not synced.
            luck: how probable that is.
        """
        target.mkdir()
        self._restore(self._number(source), target, rng, luck)

    def _wrapped(self, name: str) -> Any:
        """Returns a function of `os` that the cut may come before."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._concerns(args[0]):
                self._left -= 1
                if self._left == 0:
                    self._cut()
                if name == "fsync" and not self.is_off:
                    self._sync(args[0])
            return self._whole[name](*args, **kwargs)

        return call

    def _concerns(self, what: Any) -> bool:
        """Tells whether a path or an open file lies under the root."""
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
        return str(path).startswith(self.root)

    def _sync(self, descriptor: int) -> None:
        """Makes durable what an open file or folder holds."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self._read(path, self._contents, self._names)

    def _cut(self) -> None:
        """Notes what is there at this moment, synced or not."""
        self.is_off = True
        for folder, _, files in os.walk(self.root):
            for path in (folder, *(f"{folder}/{name}" for name in files)):
                self._read(path, self._live_contents, self._live_names)

    def _read(
        self,
        path: str,
        contents: dict[int, bytes],
        names: dict[int, dict[str, tuple[str, int]]],
    ) -> None:
        """Takes down the contents of a file or the names in a folder, by inode."""
        # Held open, so that no other file gets its number.
        self._held.append(self._whole["open"](path, os.O_RDONLY))
        number = os.fstat(self._held[-1]).st_ino
        if not os.path.isdir(path):
            contents[number] = Path(path).read_bytes()
            return
        with os.scandir(path) as entries:
            names[number] = {
                entry.name: (FOLDER if entry.is_dir() else FILE, entry.inode()) for entry in entries
            }

    def _number(self, path: Path) -> int:
        """Returns the inode of a folder that was durable or at least there at the cut."""
        number = os.stat(self.root).st_ino
        for part in path.relative_to(self.root).parts:
            both = {**self._live_names.get(number, {}), **self._names.get(number, {})}
            number = both.get(part, (FOLDER, -1))[1]
        return number

    def _restore(self, number: int, target: Path, rng: random.Random, luck: float) -> None:
        """Writes a folder as it is after the cut."""
        synced, live = self._names.get(number, {}), self._live_names.get(number, {})
        for name in sorted({*synced, *live}):
            found: Survivor = synced.get(name)
            if synced.get(name) != live.get(name) and rng.random() < luck:
                found = live.get(name)
            if found is None:
                continue
            kind, inner = found
            if kind == FOLDER:
                (target / name).mkdir()
                self._restore(inner, target / name, rng, luck)
            else:
                (target / name).write_bytes(self._survived(inner, rng, luck))

    def _survived(self, number: int, rng: random.Random, luck: float) -> bytes:
        """Returns the contents of a file after the cut: synced, or by luck a part of the rest."""
        live = self._live_contents.get(number, b"")
        if number in self._contents:
            return (
                self._contents[number] if rng.random() >= luck else live or self._contents[number]
            )
        return live[: rng.randint(0, len(live))] if rng.random() < luck else b""
