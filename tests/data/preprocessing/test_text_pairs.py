"""Texts joined to the row of an encoder: separators, types, what is cut."""

import functools
import itertools

import pytest
import seqio

from lm.data.preprocessing import text_pairs
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tests.data.toy import dataset_of

CLS, SEP = 357, 356
FEATURES = {"inputs": seqio.Feature(byte_vocabulary(extra_ids=100))}


def joined(example, length, *, join=text_pairs.join, features=FEATURES):
    """Inputs and types of one example."""
    made = next(join(dataset_of([example]), {"inputs": length}, features).as_numpy_iterator())
    return made["inputs"].tolist(), made["token_types"].tolist()


def by_popping(first: int, second: int, room: int) -> tuple[int, int]:
    """BERT's release: the longer text loses its last token until both fit."""
    while first + second > room:
        first, second = (first - 1, second) if first > second else (first, second - 1)
    return first, second


def test_one_text_and_two():
    assert joined({"inputs": [5, 6]}, 9) == ([CLS, 5, 6, SEP], [0, 0, 0, 0])
    pair = {"inputs": [5, 6], "second": [7]}
    assert joined(pair, 9) == ([CLS, 5, 6, SEP, 7, SEP], [0, 0, 0, 0, 1, 1])
    last = joined(pair, 9, join=text_pairs.join_cls_last)
    assert last == ([5, 6, SEP, 7, SEP, CLS], [0, 0, 0, 1, 1, 2])
    typed = joined(pair, 9, join=text_pairs.join_typed_cls)
    assert typed == ([CLS, 5, 6, SEP, 7, SEP], [2, 0, 0, 0, 1, 1])


def test_the_longer_text_is_cut_as_in_bert():
    for sizes in itertools.product(range(1, 6), range(1, 6), (2, 3, 4, 5)):
        assert tuple(int(x) for x in text_pairs.cut_longer(*sizes)) == by_popping(*sizes), sizes


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (text_pairs.cut_longer, [CLS, 5, 6, SEP, 8, 9, SEP]),
        (text_pairs.cut_first, [CLS, SEP, 8, 9, 10, 11, SEP]),
        (text_pairs.cut_second, [CLS, 5, 6, 7, SEP, 8, SEP]),
    ],
)
def test_which_text_is_cut_is_a_setting(cut, expected):
    pair = {"inputs": [5, 6, 7], "second": [8, 9, 10, 11]}
    ids, types = joined(pair, 7, join=functools.partial(text_pairs.join, cut=cut))
    assert ids == expected
    assert len(types) == 7


def test_which_end_is_kept_is_a_setting():
    text = {"inputs": [5, 6, 7, 8]}
    assert joined(text, 4)[0] == [CLS, 5, 6, SEP]
    keep = functools.partial(text_pairs.join, keep=text_pairs.keep_end)
    assert joined(text, 4, join=keep)[0] == [CLS, 7, 8, SEP]
    assert joined(text, 9, join=keep)[0] == [CLS, 5, 6, 7, 8, SEP]


def test_rows_too_short_and_vocabularies_without_separators_are_refused():
    pair = {"inputs": [5], "second": [6]}
    assert joined(pair, 5)[0] == [CLS, 5, SEP, 6, SEP]
    with pytest.raises(UserError, match=r"inputs of 4 hold no \[CLS\] and \[SEP\] with 2 texts"):
        joined(pair, 4)
    plain = {"inputs": seqio.Feature(byte_vocabulary(extra_ids=2))}
    with pytest.raises(UserError, match=r"need a vocabulary with 3 sentinels or more.* has 2"):
        joined(pair, 9, features=plain)
