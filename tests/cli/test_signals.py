"""SIGTERM, SIGINT and SIGHUP as exceptions, raised again where the first was lost."""

import contextlib
import os
import signal
import sys
import time
from importlib.machinery import ExtensionFileLoader

import pytest

from lm.cli import signals


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Lets SIGINT and SIGHUP end a process; a worker of the suite may ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    before_hup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, before_hup)


every = pytest.mark.parametrize(("number", "error"), signals.ERRORS.items())


def asked_to_end(number):
    """Sends a signal to this process, which handles it here."""
    os.kill(os.getpid(), number)
    time.sleep(5)


@every
def test_a_request_to_end_is_raised_and_handlers_are_put_back(number, error):
    handled = (*signals.ERRORS, signal.SIGALRM)
    before = [signal.getsignal(number) for number in handled]
    with pytest.raises(error), signals.terminated():
        asked_to_end(number)
    assert [signal.getsignal(number) for number in handled] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_was_ignored_stays_ignored(number):
    """As `nohup` and a shell's background have it."""
    signal.signal(number, signal.SIG_IGN)
    with signals.terminated():
        assert signal.getsignal(number) is signal.SIG_IGN
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_terminal_may_hang_up_twice():
    with pytest.raises(signals.HungUp), signals.terminated():
        try:
            asked_to_end(signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)


@every
def test_a_request_that_somebody_swallowed_is_raised_again(number, error, monkeypatch):
    monkeypatch.setattr(signals, "REMINDER", 0.05)
    with pytest.raises(error), signals.terminated():
        with contextlib.suppress(BaseException):
            asked_to_end(number)
        time.sleep(5)
        pytest.fail("the process went on")


@every
def test_a_request_that_a_destructor_lost_is_raised_again_without_a_word(
    number, error, monkeypatch, capsys
):
    monkeypatch.setattr(signals, "REMINDER", 0.05)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # pytest's keeps them

    class Closing:
        def __init__(self, act):
            self.act = act

        def __del__(self):
            self.act()

    with pytest.raises(error), signals.terminated():
        Closing(lambda: 1 / 0)
        Closing(lambda: asked_to_end(number))
        time.sleep(5)
        pytest.fail("the process went on")
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1
    assert "ZeroDivisionError" in said


@every
def test_a_compiled_module_is_loaded_before_the_request_is_raised(number, error, monkeypatch):
    monkeypatch.setattr(signals, "REMINDER", 0.05)
    steps = []

    class Loader(ExtensionFileLoader):
        def create_module(self, spec):
            os.kill(os.getpid(), number)
            time.sleep(0.3)
            steps.append("loaded")

    with pytest.raises(error), signals.terminated():
        Loader("module", "module.so").create_module(None)
        time.sleep(5)
        pytest.fail("the process went on")
    assert steps == ["loaded"]


@every
def test_whoever_cleans_up_is_not_reminded(number, error, monkeypatch):
    monkeypatch.setattr(signals, "REMINDER", 0.05)
    steps = []
    with pytest.raises(error), signals.terminated():
        try:
            asked_to_end(number)
        finally:
            time.sleep(0.3)
            steps.append("cleaned up")
    assert steps
