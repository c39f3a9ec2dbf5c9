"""Rows of datasets as plain Python values."""

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Returns bytes as text, arrays as lists, numbers as Python's, also inside mappings and lists.

    Example:
        >>> import numpy as np
        >>> plain({"text": b"a", "labels": np.array([1, 2]), "names": np.array([b"b"], object)})
        {'text': 'a', 'labels': [1, 2], 'names': ['b']}
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value
