"""Log lines stay away from the terminal; everything else arrives."""

import os

import pytest

from lm.chatter import without_chatter

CHATTER = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795203241.245628    6110 port.cc:153] oneDNN custom operations are on.\n"
    "E0000 00:00:1795203245.463316    6110 cuda_platform.cc:52] failed call to cuInit\n"
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild.\n"
    "normalizer.cc(51) LOG(INFO) precompiled_charsmap is empty. use identity normalization.\n"
    "2025-01-01 00:00:00.123456: I tensorflow/core/platform/cpu.cc:1] text\n"
)


def test_log_lines_are_dropped_and_others_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        os.write(2, CHATTER.encode())
        os.write(2, b"F0000 00:00:1.2    1 check.cc:1] a fatal line\nplain words\n")
    shown = capfd.readouterr().err
    assert shown == "F0000 00:00:1.2    1 check.cc:1] a fatal line\nplain words\n"


def test_an_exception_passes_and_the_descriptor_returns(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_chatter():
            os.write(2, CHATTER.encode())
            raise ImportError("broken")

    with pytest.raises(ImportError, match="broken"):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
