"""Log lines of the frameworks' C++ sides, which no level silences, are kept off the terminal."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# `I0000 00:00:1795.2 123 port.cc:153] text`, `2025-01-01 00:00:00.1: I tensorflow/...` and the two
# lines that follow or precede them without a prefix; `normalizer.cc(51) LOG(INFO) text`.
_NOISE = re.compile(
    r"[IWE]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\]"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    r"|WARNING: All log messages before absl::InitializeLog"
    r"|To enable the following instructions:"
    r"|(SLF4J|Intel MKL|oneDNN)"
    r"|\w+\.cc\(\d+\) LOG\(INFO\) "
)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then write all but the log lines."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            _write_rest(caught.read())


def _write_rest(text: bytes) -> None:
    """Write the lines that are not log lines."""
    lines = text.decode("utf-8", "replace").splitlines(keepends=True)
    sys.stderr.write("".join(line for line in lines if not _NOISE.match(line)))
