"""What holds for all inputs: readers lose nothing, converters and packing keep every token."""

import json
import operator

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from lm.data.batching import iterator_position
from lm.data.batching.stream import shuffled_indices
from lm.data.rows import features, packing
from lm.data.rows.converter import to_rows
from lm.data.storage import readers, record_cache, sources
from lm.data.storage.lines import DefectReport
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tests.data import toy

# Few examples, the same every time; raise max_examples to look further.
few = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
fewer = settings(few, max_examples=12)

characters = some.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")
lines = some.text(characters, min_size=1, max_size=30).filter(str.strip)
texts = some.lists(lines.filter(lambda line: not line.startswith("\ufeff")), max_size=8)
cells = some.text(
    some.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\t\ufeff"), max_size=8
)
json_values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**60), 2**60) | some.text(characters),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=6,
)
tokens = some.integers(3, 250)


def examples(*names, longest=12, shortest=0, most=8):
    """Lists of examples with these features."""
    vector = some.lists(tokens, min_size=shortest, max_size=longest)
    return some.lists(
        some.fixed_dictionaries(dict.fromkeys(names, vector)), min_size=1, max_size=most
    )


def segments(row, ids):
    """The tokens of each segment of a row, in their order."""
    return [row[ids == number].tolist() for number in range(1, ids.max(initial=0) + 1)]


# Readers


@few
@given(texts)
def test_lines_are_read_as_they_were_written(tmp_path, written):
    path = tmp_path / "x.txt"
    path.write_bytes("".join(f"{line}\n" for line in written).encode())
    report = DefectReport("skip")
    assert list(readers.read_text_lines(path, report=report)) == written
    assert bool(report.counts) == (not written)  # an empty file is a defect


@few
@given(some.binary(max_size=200))
def test_any_bytes_are_read_or_refused_by_line_and_what_is_skipped_is_counted(tmp_path, content):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    report = DefectReport("skip")
    kept = list(readers.read_text_lines(path, report=report))
    assert all(line.strip() and not set(line) & {"\0", "\r", "\n"} for line in kept)
    try:
        assert list(readers.read_text_lines(path)) == kept
        assert not report.counts
    except UserError as error:
        assert str(error).startswith(f"{path}:")
        assert report.counts
    lost = [
        n for kind, n in report.counts.items() if kind not in ("byte order mark", "CRLF line end")
    ]
    raw = content.removesuffix(b"\n").split(b"\n") if content else []
    assert len(kept) + sum(lost) == max(len(raw), 1)


@few
@given(some.lists(some.lists(cells, min_size=2, max_size=2), min_size=1, max_size=6))
def test_tables_are_read_as_they_were_written(tmp_path, rows):
    path = tmp_path / "x.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8", newline="")
    found = list(readers.read_tsv(path, names=["a", "b"], on_error="skip"))
    assert found == [{"a": a, "b": b} for a, b in rows if f"{a}\t{b}".strip()]


@few
@given(some.lists(some.dictionaries(some.text(characters), json_values, max_size=3), min_size=1))
def test_json_lines_are_read_as_they_were_written(tmp_path, objects):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in objects))
    assert list(readers.read_jsonl(path)) == objects


@few
@given(lines)
def test_bytes_as_tokens_give_the_text_back(line):
    vocabulary = byte_vocabulary()
    assert vocabulary.decode(vocabulary.encode(line)) == line


@few
@given(some.lists(lines, unique=True, max_size=20), some.floats(0.01, 0.99))
def test_a_share_splits_by_content_alone(written, part):
    held = [line for line in written if sources.share(line) < part]
    rest = [line for line in written if sources.share(line) >= part]
    assert sorted([*held, *rest]) == sorted(written)
    assert [line for line in reversed(written) if sources.share(line) < part] == held[::-1]


@fewer
@given(some.lists(some.tuples(lines, some.integers(-(2**60), 2**60)), min_size=1, max_size=5))
def test_the_record_cache_gives_back_what_it_was_given(written):
    made = [{"text": text, "number": number} for text, number in written]
    folder = record_cache.cached("property", {"examples": made}, lambda: made)
    found = list(record_cache.dataset(folder).as_numpy_iterator())
    assert [(row["text"].decode(), int(row["number"])) for row in found] == written
    assert record_cache.count(folder) == len(written)


# Order


@few
@given(some.integers(1, 200), some.integers(0, 2**31 - 1))
def test_an_epoch_is_a_permutation(count, seed):
    indices = shuffled_indices(count, seed=seed, name="x").take(count)
    assert sorted(indices.as_numpy_iterator()) == list(range(count))


@fewer
@given(some.integers(0, 20), some.integers(0, 1000))
def test_a_position_is_where_it_was(done, seed):
    data = tf.data.Dataset.range(40).shuffle(7, seed=seed).repeat()
    iterator = iter(data)
    for _ in range(done):
        next(iterator)
    saved = iterator_position.save(iterator, {"seed": seed})
    expected = [int(next(iterator)) for _ in range(10)]
    other = iter(data)
    iterator_position.restore(other, saved, {"seed": seed})
    assert [int(next(other)) for _ in range(10)] == expected


# Packing and converters


def rows_of(packer, made, lengths):
    """Rows that a packer makes of examples given as dicts of lists."""
    ragged = {name: toy.ragged([example[name] for example in made]) for name in lengths}
    return {name: x.numpy() for name, x in packer.rows(ragged, lengths).items()}


@fewer
@given(examples("inputs", "targets", shortest=1, longest=10))
def test_first_fit_keeps_every_example_whole_and_in_a_row_that_holds_it(made):
    lengths = {"inputs": 10, "targets": 12}
    rows = rows_of(packing.FirstFit(), made, lengths)
    found = []
    for row in range(len(rows["inputs"])):
        pair = [segments(rows[n][row], rows[f"{n}_segment_ids"][row]) for n in lengths]
        found += [{"inputs": a, "targets": b} for a, b in zip(*pair, strict=True)]
    order = operator.itemgetter("inputs", "targets")
    assert sorted(found, key=order) == sorted(made, key=order)
    for name, length in lengths.items():
        ids, places = rows[f"{name}_segment_ids"], rows[f"{name}_positions"]
        assert ids.shape[1] == length
        assert (rows[name][ids == 0] == 0).all() and (places[ids == 0] == 0).all()
        starts = np.diff(ids, axis=1, prepend=0) != 0
        assert (places[starts & (ids > 0)] == 0).all()
        inside = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] > 0)
        assert (np.diff(places, axis=1)[inside] == 1).all()


@fewer
@given(examples("targets", longest=12))
def test_padding_is_an_example_a_row(made):
    rows = rows_of(packing.Pad(), made, {"targets": 12})
    for example, row, ids in zip(made, rows["targets"], rows["targets_segment_ids"], strict=True):
        assert row[ids == 1].tolist() == example["targets"]
        assert ids.sum() == len(example["targets"])


@fewer
@given(examples("targets", longest=30), some.integers(1, 9))
def test_cutting_keeps_every_token_in_order(made, length):
    ragged = {"targets": toy.ragged([example["targets"] for example in made])}
    pieces = packing.cut(ragged, {"targets": length})["targets"].to_list()
    assert max(map(len, pieces)) <= length
    joined = [token for example in made for token in example["targets"]]
    assert [token for piece in pieces for token in piece] == joined


CONVERTERS = {
    "language model": (features.LanguageModel, ("targets",)),
    "encoder-decoder": (features.EncoderDecoder, ("inputs", "targets")),
    "prefix language model": (features.PrefixLanguageModel, ("inputs", "targets")),
}
LENGTHS = {"inputs": 8, "targets": 8}


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("packer", [None, packing.FirstFit])
@settings(few, max_examples=5)
@given(data=some.data())
def test_converters_keep_every_target_and_weigh_each_once(name, packer, data):
    kind, names = CONVERTERS[name]
    made = data.draw(examples(*names, shortest=1, longest=8))
    lengths = {name: LENGTHS[name] for name in names}
    rows = list(to_rows(kind(pack=packer), toy.dataset_of(made), lengths).as_numpy_iterator())
    targets = sum(len(example["targets"]) for example in made)
    assert sum(row["decoder_loss_weights"].sum() for row in rows) == targets
    found = []
    for row in rows:
        ids, weights = row["decoder_segment_ids"], row["decoder_loss_weights"]
        weighed = np.where(weights > 0, ids, 0)
        found += segments(row["decoder_target_tokens"], weighed)
        shifted = np.where(
            np.diff(ids, prepend=0) == 0, np.roll(row["decoder_target_tokens"], 1), 0
        )
        np.testing.assert_array_equal(row["decoder_input_tokens"][ids > 0], shifted[ids > 0])
    assert sorted(found) == sorted(example["targets"] for example in made)
