"""python_docs: the documentation that comes with the running Python interpreter.

What: English technical prose: the docstrings of the standard library, one document per source
file (docstrings in file order, an empty line between them), and the language reference's topics
that `help()` shows, one document each.
Source: the interpreter's own files, read with `ast`, never imported; no download.
Licence: Python Software Foundation License 2.0.
Splits: by module family (`tasks.support.standard_library`); all topics are in train, since they
quote each other. Of equal docstrings only the first in file order is kept, so no docstring is in
two splits. Documents and characters:

    Python   train               validation     test
    3.11.7   377 / 1,660,629     13 / 94,185    34 / 99,547
    3.12.1   377 / 1,694,213     13 / 94,909    34 / 99,163
    3.13.0   381 / 1,717,844     12 / 87,354    34 / 101,357

Example (one document, shortened):

    Heap queue algorithm (a.k.a. priority queue).

    Heaps are arrays for which a[k] <= a[2*k+1] and a[k] <= a[2*k+2] for ...
"""

import functools
from collections.abc import Iterator

from lm.data.storage import sources
from tasks.support import standard_library
from tasks.support.text import add_language_model


@functools.cache
def corpus() -> dict[str, list[str]]:
    """The documents of every split: topics, then modules in the order of their names."""
    folder = standard_library.root()
    documents: dict[str, list[str]] = {split: [] for split in standard_library.SPLITS}
    documents["train"] += standard_library.topics(folder).values()
    is_new = standard_library.Unseen()
    for module in standard_library.modules(folder):
        texts = standard_library.docstrings(module.path.read_text("utf-8"))
        kept = [text for text in texts if is_new(text)]
        if kept:
            split = standard_library.split_of(module.name)
            documents[split].append("\n\n".join(kept) + "\n")
    return documents


def examples(split: str) -> Iterator[dict[str, str]]:
    """The documents of a split."""
    return ({"text": text} for text in corpus()[split])


TASK = add_language_model(
    "python_docs",
    sources.examples_source(
        "python_docs",
        {split: functools.partial(examples, split) for split in standard_library.SPLITS},
        fingerprint=standard_library.fingerprint,
    ),
    keys={"targets": "text"},
)
