"""Where gin files are looked for, and where an include may lead."""

import os
from collections.abc import Sequence
from pathlib import Path

from lm import resources
from lm.config.suggest import did_you_mean
from lm.errors import ConfigError


def label(path: Path) -> str:
    """Return how messages name a file: from the current folder where it lies below it."""
    full = path.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


class Search:
    """The folders of gin files, in order: search paths, current folder, the package's own.

    `models/gpt2/small.gin` and `gin/models/gpt2/small.gin` both name the package's file, from a
    checkout and from an installed wheel.
    """

    def __init__(self, search_paths: Sequence[str] = ()) -> None:
        """Check the search paths.

        Raises:
            ConfigError: one of them is no folder.
        """
        for path in search_paths:
            if not Path(path).is_dir():
                raise ConfigError(f"--gin_search_paths: {path}: no such folder")
        self._own = resources.gin_folder()
        self._folders = [*map(Path, search_paths), Path(), self._own]

    def file(self, name: str) -> Path:
        """Return the file that `--gin_file` names; it may lie anywhere.

        Raises:
            ConfigError: there is none; the message names the nearest of the package's own.
        """
        for candidate in self._candidates(name):
            if candidate.is_file():
                return candidate
        raise ConfigError(f"--gin_file={name}: {self._missing(name)}")

    def include(self, name: str) -> Path:
        """Return the file that an `include` names; it must lie under one of the folders.

        Raises:
            ConfigError: there is none, or it lies outside.
        """
        found = [candidate for candidate in self._candidates(name) if candidate.is_file()]
        if not found:
            raise ConfigError(f"include '{name}': {self._missing(name)}")
        for candidate in found:
            if self._is_inside(candidate):
                return candidate
        raise ConfigError(
            f"include '{name}': lies outside the search folders; name its folder in "
            "--gin_search_paths"
        )

    def _candidates(self, name: str) -> list[Path]:
        """Return the places that the name may mean."""
        if os.path.isabs(name):
            return [Path(name)]
        places = [folder / name for folder in self._folders]
        if Path(name).parts[:1] == ("gin",):
            places.append(self._own.parent / name)
        return places

    def _is_inside(self, path: Path) -> bool:
        """Tell whether the file, links followed, lies under one of the folders."""
        real = path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in self._folders)

    def _missing(self, name: str) -> str:
        """Return what to say when no candidate is a file."""
        if any(candidate.is_dir() for candidate in self._candidates(name)):
            return "is a folder, not a gin file"
        own = [str(path.relative_to(self._own)) for path in self._own.rglob("*.gin")]
        bare = name.removeprefix("gin/")
        if os.path.isabs(name):
            return f"no such file{did_you_mean(bare, own)}"
        places = ", ".join(str(folder) for folder in self._folders)
        return f"no such file in {places}{did_you_mean(bare, own)}"
