"""Several processes: what an error means for the ones that are left."""

import pytest

from lm.errors import UserError
from lm.mesh import cluster
from lm.train.process_group import ProcessGroup


@pytest.fixture
def group(monkeypatch):
    """A group that believes it has two processes."""
    monkeypatch.setattr(cluster, "exit_without_peers", lambda: None)
    found = ProcessGroup(mesh=None)
    found.size = 2
    return found


def test_a_lost_companion_is_one_line(group):
    with (
        pytest.raises(UserError, match=r"another process of the run has ended \(Gloo"),
        group.lost_peers_named(),
    ):
        raise RuntimeError("Gloo all-reduce failed: Connection reset by peer")


def test_other_errors_stay_what_they_are(group):
    with pytest.raises(RuntimeError, match="shapes differ"), group.lost_peers_named():
        raise RuntimeError("shapes differ")


def test_one_process_has_no_companion_to_lose(group):
    group.size = 1
    with pytest.raises(RuntimeError, match="Connection reset"), group.lost_peers_named():
        raise RuntimeError("Connection reset by peer")
