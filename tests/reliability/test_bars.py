"""Every bar of reliability in short form; `make reliability` runs the long one."""

import pytest

from tests.reliability.bar import all_bars

CASES = [
    pytest.param(bar, marks=[pytest.mark.slow] * bar.slow, id=f"{bar.number}-{bar.name}")
    for bar in all_bars()
]


@pytest.mark.parametrize("bar", CASES)
def test_the_promise_holds(bar, tmp_path):
    result = bar.run(bar.short, tmp_path)
    assert result.count > 0
    assert result.failures == []


def test_no_two_bars_share_a_number_and_name():
    names = [(bar.number, bar.name) for bar in all_bars()]
    assert len(set(names)) == len(names)
