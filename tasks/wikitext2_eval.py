"""wikitext2_eval: WikiText-2's validation and test articles, for word-level perplexity.

What: good and featured Wikipedia articles, tokenized, rare words as `<unk>`; one document per
article, text kept byte for byte.
Source: `wikitext2_eval/{valid,test}.txt.gz` below `LM_DATA_DIR`, from github
pytorch/examples.
Licence: CC BY-SA 3.0 (Merity et al. 2016, https://arxiv.org/abs/1609.07843).
Splits: validation 60 articles, test 62. There is no train split: train on other text.

Perplexity per word, as published, is exp(nats of the whole split / words), where words are
separated by spaces and every line end counts as another word, `<eos>`. The feature `words` has this
number for each document, 217,646 and 245,569 in all. Line ends are part of the text, so no
end-of-sequence id is added.

Example (the beginning of a document):

     = Homarus gammarus =

     Homarus gammarus , known as the European lobster or common lobster , is a species of ...
"""

import re
from collections.abc import Iterator
from functools import partial

from lm.data.storage import files, readers, sources
from tasks.support.local_data import DataSet
from tasks.support.text import add_language_model

DATA_SET = DataSet("wikitext2_eval", origin="github.com/pytorch/examples")

FILES = {
    "validation": DATA_SET.file("valid.txt.gz"),
    "test": DATA_SET.file("test.txt.gz"),
}
TITLE = re.compile(r"^(?= = [^=\n]+ = $)", re.MULTILINE)  # before a heading of the first level


def articles(split: str) -> Iterator[dict[str, str | int]]:
    """The articles of a split with their word counts; joined, they are the file."""
    (text,) = readers.read_documents(FILES[split]())
    before, first, *others = TITLE.split(text)
    for article in (before + first, *others):
        yield {"text": article, "words": count_words(article)}


def count_words(text: str) -> int:
    r"""Words between spaces, and one `<eos>` for every line end.

    Example:
        >>> count_words(" = A title = \n \n One . \n")
        9
    """
    return len(text.split()) + text.count("\n")


add_language_model(
    "wikitext2_eval",
    sources.examples_source(
        "wikitext2_eval",
        {split: partial(articles, split) for split in FILES},
        fingerprint=lambda: {"files": files.fingerprint([path() for path in FILES.values()])},
    ),
    keys={"targets": "text", "words": "words"},
    add_eos=False,
)
