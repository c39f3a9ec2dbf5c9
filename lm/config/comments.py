"""The comments beside bindings, which gin's parser leaves out."""

import io
import tokenize
from pathlib import Path

from lm.config.syntax import Origin


def beside(origin: Origin) -> str:
    """Return the comment at the end of the line of a statement; empty for a flag.

    Args:
        origin: of the statement; its file lies below the current folder or has a full path.
    """
    path = Path(origin.label)
    if not origin.line or not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return _comment(lines[origin.line - 1]) if origin.line <= len(lines) else ""


def _comment(line: str) -> str:
    """Return the comment of a line; that of a value on several lines is not looked for.

    Example:
        >>> _comment("NAME = '#1'  # the first")
        'the first'
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    except (tokenize.TokenError, IndentationError):
        return ""
    found = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return found[0].lstrip("# ") if found else ""
