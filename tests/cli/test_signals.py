"""SIGTERM as an exception, raised again where the first was lost."""

import contextlib
import os
import signal
import time

import pytest

from lm.cli import signals


def asked_to_end():
    """Sends SIGTERM to this process, which handles it here."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


def test_a_request_to_end_is_raised_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)
    with pytest.raises(signals.Terminated), signals.terminated():
        asked_to_end()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_request_that_somebody_swallowed_is_raised_again(monkeypatch):
    monkeypatch.setattr(signals, "REMINDER", 0.05)
    with pytest.raises(signals.Terminated), signals.terminated():
        with contextlib.suppress(BaseException):
            asked_to_end()
        time.sleep(5)
        pytest.fail("the process went on")
