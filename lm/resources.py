"""Paths of the data folders `gin/` and `tokenizers/`, in a checkout and in an installed wheel.

They are found by path: as packages they would shadow the libraries of the same names.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Returns a data folder: the wheel's `lm/<name>`, else the checkout's.

    Args:
        name: `gin` or `tokenizers`.

    Raises:
        FileNotFoundError: neither exists; the installation is broken.

    Example:
        >>> folder("gin").name
        'gin'
    """
    folders = [_PACKAGE / name, _PACKAGE.parent / name]
    for path in folders:
        if path.is_dir():
            return path
    raise FileNotFoundError(f"no folder {name!r} in {' or '.join(str(p.parent) for p in folders)}")


def gin_folder() -> Path:
    """Returns the folder of the gin files."""
    return folder("gin")


def tokenizers_folder() -> Path:
    """Returns the folder of the tokenizer models."""
    return folder("tokenizers")
