"""Holds out part of a text for validation, even of a single document.

Documents are sorted by a hash of their content. The first of them, up to the given fraction of all
bytes, are the split `validation`; the document on the border is cut at the end of a line. This
works for one book as for a thousand poems, and equal texts are in the same split.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lm.data.storage import sources
from lm.data.storage.record_cache import CachedSource
from lm.errors import UserError

Texts = Callable[[], Iterable[str]]


class Border(NamedTuple):
    """Where the validation split ends.

    Attributes:
        hash: of the document on the border, in [0, 1).
        part: the fraction of its bytes that is held out.
    """

    hash: float
    part: float


def held_out_text(source: CachedSource, share: float, feature: str) -> CachedSource:
    """A source with a fraction of the bytes of `train` as the split `validation`.

    Args:
        source: a source of texts with a split `train` and without `validation`.
        share: between 0 and 1.
        feature: name of the text.

    Raises:
        UserError: the share is not between 0 and 1, or there are validation files.
    """
    if "validation" in source.splits:
        raise UserError("held_out is for tasks without validation files; give one of the two")
    if not 0 < share < 1:
        raise UserError(f"held_out={share}: must lie between 0 and 1")
    documents = source.examples["train"]

    @functools.cache
    def found() -> Border:
        return border((example[feature] for example in documents()), share)

    def side(index: int) -> Iterator[dict[str, Any]]:
        for example in documents():
            if text := divided(example[feature], found())[index]:
                yield {feature: text}

    sides = {"validation": 0, "train": 1}
    examples = {split: functools.partial(side, index) for split, index in sides.items()}
    marks = {split: functools.partial(_mark, source, share, split) for split in sides}
    return CachedSource(
        name=source.name,
        examples={**source.examples, **examples},
        fingerprints={**source.fingerprints, **marks},
        description=[source.description, share, "of the bytes"],
    )


def border(texts: Iterable[str], share: float) -> Border:
    """Returns where a fraction of the bytes of all texts ends, in the order of their hashes."""
    sizes = ((sources.share(text), len(text.encode())) for text in texts)
    found = np.fromiter(sizes, dtype=[("hash", "f8"), ("size", "i8")])
    if not len(found):
        return Border(0.0, 0.0)
    found.sort(order="hash")
    ends = np.cumsum(found["size"])
    target = share * ends[-1]
    index = int(np.searchsorted(ends, target))
    size = int(found["size"][index])
    return Border(float(found["hash"][index]), (target - (ends[index] - size)) / max(size, 1))


def divided(text: str, at: Border) -> tuple[str, str]:
    r"""Splits a document into the part that is held out and the rest.

    Example:
        >>> text = "one\ntwo\nthree\nfour\n"
        >>> divided(text, Border(sources.share(text), 0.2))
        ('one\n', 'two\nthree\nfour\n')
    """
    own = sources.share(text)
    if own != at.hash:
        return (text, "") if own < at.hash else ("", text)
    # At least a line on each side, if there are two.
    end = text.find("\n", int(at.part * len(text))) + 1
    if end in (0, len(text)):
        end = text.rstrip("\n").rfind("\n") + 1
    return text[:end], text[end:]


def _mark(source: CachedSource, share: float, split: str) -> dict[str, Any]:
    """Returns everything that determines the examples of a split."""
    return {**source.fingerprints["train"](), "held_out": [share, "of the bytes"], "side": split}
