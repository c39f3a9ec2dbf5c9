"""Sheets of answers for raters, and their sensibleness and specificity."""

import pytest

from lm.data.evaluation import ssa
from lm.errors import UserError

TALKS = [(["Hi!"], "Hello."), (["Hi!", "Bye!"], "Why?"), (["What?"], "It is a\tcat.")]


def rated(path, *marks):
    """Writes a sheet with marks such as "10", sensible and specific."""
    head, *lines = ssa.sheet(TALKS)
    filled = [
        line.rstrip("\t\n") + "\t" + "\t".join(mark) + "\n"
        for line, mark in zip(lines, marks, strict=True)
    ]
    path.write_text("".join([head, *filled]))
    return str(path)


def test_the_majority_of_the_raters_counts(tmp_path):
    one = rated(tmp_path / "one.tsv", "11", "10", "00")
    assert ssa.score([one]) == pytest.approx(
        {"sensibleness": 200 / 3, "specificity": 100 / 3, "ssa": 50}
    )
    others = [rated(tmp_path / name, "11", "11", "01") for name in ("two.tsv", "three.tsv")]
    found = ssa.score([one, *others])
    assert found["specificity"] == pytest.approx(200 / 3)  # what makes no sense is not specific


def test_spaces_around_a_mark_do_not_matter(tmp_path):
    """A sheet with them is accepted, and so they must not turn a 1 into a 0."""
    path = rated(tmp_path / "one.tsv", ("1 ", " 1"), "11", "11")
    assert ssa.score([path]) == {"sensibleness": 100.0, "specificity": 100.0, "ssa": 100.0}


def test_what_makes_no_sense_need_not_be_rated_further(tmp_path):
    path = rated(tmp_path / "one.tsv", "11", ("0", ""), "10")
    assert ssa.score([path]) == ssa.score([rated(tmp_path / "two.tsv", "11", "00", "10")])
    for mark in (("1", ""), ("", ""), ("0", "x")):
        path = rated(tmp_path / "one.tsv", "11", mark, "10")
        with pytest.raises(UserError, match=r"one.tsv:3: not rated"):
            ssa.score([path])


def test_a_sheet_that_is_not_filled_in_is_named(tmp_path):
    path = rated(tmp_path / "one.tsv", "11", "1x", "00")
    with pytest.raises(UserError, match=r"one.tsv:3: not rated \(column 'specific' needs 0 or 1\)"):
        ssa.score([path])
    short = tmp_path / "short.tsv"
    whole = rated(tmp_path / "whole.tsv", "11", "11", "11")
    short.write_text("\n".join((tmp_path / "whole.tsv").read_text().splitlines()[:2]) + "\n")
    with pytest.raises(UserError, match="not the answers of"):
        ssa.score([whole, str(short)])
