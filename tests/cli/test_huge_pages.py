"""Huge pages: when a command starts itself again, and with what."""

import os
import sys

import pytest

from lm.cli import huge_pages


@pytest.fixture
def restarts(monkeypatch):
    """The environments of the processes that would have been started."""
    found = []
    monkeypatch.delenv(huge_pages.TUNABLES, raising=False)
    monkeypatch.setattr(huge_pages, "is_left_to_programs", lambda: True)
    monkeypatch.setattr(huge_pages, "is_known_to_glibc", lambda: True)
    monkeypatch.setattr(os, "execve", lambda path, words, env: found.append((path, words, env)))
    return found


def test_the_same_command_is_started_with_the_tunable(restarts):
    huge_pages.restart()
    [(path, words, environment)] = restarts
    assert path == sys.executable
    assert words == sys.orig_argv
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


def test_other_tunables_are_kept(restarts, monkeypatch):
    monkeypatch.setenv(huge_pages.TUNABLES, "glibc.malloc.perturb=1")
    huge_pages.restart()
    assert restarts[0][2]["GLIBC_TUNABLES"] == "glibc.malloc.perturb=1:glibc.malloc.hugetlb=1"


def test_a_value_that_is_set_is_kept(restarts, monkeypatch):
    monkeypatch.setenv(huge_pages.TUNABLES, "glibc.malloc.hugetlb=0")
    huge_pages.restart()
    assert not restarts


@pytest.mark.parametrize("condition", ["is_left_to_programs", "is_known_to_glibc"])
def test_nothing_happens_where_it_has_no_effect(restarts, monkeypatch, condition):
    monkeypatch.setattr(huge_pages, condition, lambda: False)
    huge_pages.restart()
    assert not restarts


@pytest.mark.parametrize(
    ("text", "is_left"),
    [("always [madvise] never", True), ("[always] madvise never", False), ("", False)],
)
def test_the_kernel_says_who_decides(tmp_path, monkeypatch, text, is_left):
    (tmp_path / "enabled").write_text(text)
    monkeypatch.setattr(huge_pages, "PAGES", tmp_path / "enabled")
    assert huge_pages.is_left_to_programs() is is_left


@pytest.mark.parametrize(
    ("version", "is_known"),
    [("glibc 2.36", True), ("glibc 2.35.1", True), ("glibc 2.31", False), (None, False)],
)
def test_the_version_of_glibc_decides(monkeypatch, version, is_known):
    monkeypatch.setattr(os, "confstr", lambda name: version)
    assert huge_pages.is_known_to_glibc() is is_known


def test_a_c_library_that_is_not_glibc(monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "confstr", unknown)
    assert huge_pages.is_known_to_glibc() is False
