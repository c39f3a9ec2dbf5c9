"""python_code: the source code of the running interpreter's standard library.

What: Python code, one document per source file, comments and all.
Source: the interpreter's own files; no download.
Licence: Python Software Foundation License 2.0.
Splits: by module family, as in `tasks.python_docs`; of equal files only the first is kept.
Documents and characters:

    Python   train               validation     test
    3.11.7   330 / 6,748,626     13 / 468,929   39 / 575,086
    3.12.1   331 / 6,751,411     13 / 470,304   39 / 573,986
    3.13.0   349 / 6,965,152     12 / 440,455   40 / 597,855

Example (the beginning of one document):

    '''Heap queue algorithm (a.k.a. priority queue).
    ...
    def heappush(heap, item):
"""

import functools
from collections.abc import Iterator

from lm.data.storage import sources
from tasks.support import standard_library
from tasks.support.text import add_language_model


@functools.cache
def corpus() -> dict[str, list[str]]:
    """The source files of every split, in the order of their names."""
    documents: dict[str, list[str]] = {split: [] for split in standard_library.SPLITS}
    is_new = standard_library.Unseen()
    for module in standard_library.modules(standard_library.root()):
        text = module.path.read_text("utf-8")
        if text.strip() and is_new(text):
            documents[standard_library.split_of(module.name)].append(text)
    return documents


def examples(split: str) -> Iterator[dict[str, str]]:
    """The source files of a split."""
    return ({"text": text} for text in corpus()[split])


TASK = add_language_model(
    "python_code",
    sources.examples_source(
        "python_code",
        {split: functools.partial(examples, split) for split in standard_library.SPLITS},
        fingerprint=standard_library.fingerprint,
    ),
    keys={"targets": "text"},
)
