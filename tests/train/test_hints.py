"""What a run logs of its speed after its first window: counted, and once."""

import numpy as np
import pytest

from lm.train.hints import Hints, Machine

CPU, OLD_GPU, GPU = (
    Machine(False, False, None),
    Machine(True, False, 0.9),
    Machine(True, True, 0.1),
)


def rows(*segments: list[int], width: int = 256) -> np.ndarray:
    """Rows of segments of given sizes, the rest padding."""
    found = np.zeros((len(segments), width), "int32")
    for row, sizes in zip(found, segments, strict=True):
        filled = np.repeat(np.arange(1, len(sizes) + 1), sizes)
        row[: len(filled)] = filled
    return found


def taken(segments: np.ndarray, policy: str = "float32", machine: Machine = CPU) -> str:
    hints = Hints()
    hints.add({"decoder_segment_ids": segments, "label": np.zeros(len(segments))})
    return "\n".join(hints.take(policy, machine))


def test_buckets_are_advised_where_they_save_padding():
    short = rows(*[[60]] * 6, [120], [256])
    used, wide = 6 * 60 + 120 + 256, 8 * 256
    assert f"{1 - used / wide:.0%} of the decoder's positions are padding" in taken(short)
    saved = 1 - (6 * 64 + 128 + 256) / wide
    assert f"length_buckets = [64, 128] saves {saved:.0%} of all positions" in taken(short)


def test_full_rows_and_rows_already_bucketed_have_no_hint():
    assert taken(rows(*[[250]] * 8)) == ""
    assert taken(rows(*[[150]] * 8)) == ""  # half the width holds none of them
    hints = Hints()
    for width in (64, 256):
        hints.add({"decoder_segment_ids": rows(*[[30]] * 16, width=width)})
    assert hints.take("float32", CPU) == []


def test_padding_of_packed_rows_is_one_of_lengths():
    found = taken(rows(*[[80, 80]] * 8))
    assert "38% of the decoder's positions are padding, in packed rows too" in found
    assert "length_buckets" not in found


def test_padding_of_rows_of_several_texts_is_counted_text_by_text():
    assert taken(rows(*[[60]] * 8).reshape(4, 2, 256)) == taken(rows(*[[60]] * 8)) != ""


@pytest.mark.parametrize(
    ("policy", "machine", "wanted"),
    [
        ("float32", GPU, "DTYPE_POLICY = 'mixed_bfloat16' is faster"),
        ("float32", OLD_GPU, ""),
        ("float32", CPU, ""),
        ("mixed_bfloat16", CPU, "'mixed_bfloat16' is slower than 'float32' on a CPU"),
        ("mixed_bfloat16", OLD_GPU, ""),
    ],
)
def test_bfloat16_is_advised_where_the_device_has_units_for_it(policy, machine, wanted):
    found = taken(rows(*[[256]] * 8), policy, machine)
    assert wanted in found
    assert bool(wanted) == ("bfloat16" in found)


def test_a_larger_batch_is_advised_where_memory_or_cores_are_idle():
    assert "uses 10% of the device's memory: a BATCH_SIZE above 8" in taken(
        rows(*[[256]] * 8), "mixed_bfloat16", GPU
    )
    assert "a step has 256 positions, too few" in taken(rows([256]))
    assert taken(rows([256]), machine=OLD_GPU) == ""


def test_hints_are_given_once():
    hints = Hints()
    hints.add({"decoder_segment_ids": rows([256])})
    assert len(hints.take("float32", CPU)) == 1
    hints.add({"decoder_segment_ids": rows([256])})
    assert hints.take("float32", CPU) == []
    assert Hints().take("float32", CPU) == []
