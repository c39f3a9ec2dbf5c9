"""Several processes: what an error means for the ones that are left."""

import pytest

from lm.errors import UserError
from lm.mesh import cluster
from lm.train.team import Team


@pytest.fixture
def team(monkeypatch):
    """A team that believes it has two members."""
    monkeypatch.setattr(cluster, "exit_without_peers", lambda: None)
    found = Team(mesh=None)
    found.size = 2
    return found


def test_a_lost_companion_is_one_line(team):
    with (
        pytest.raises(UserError, match=r"another process of the run has ended \(Gloo"),
        team.together(),
    ):
        raise RuntimeError("Gloo all-reduce failed: Connection reset by peer")


def test_other_errors_stay_what_they_are(team):
    with pytest.raises(RuntimeError, match="shapes differ"), team.together():
        raise RuntimeError("shapes differ")


def test_one_process_has_no_companion_to_lose(team):
    team.size = 1
    with pytest.raises(RuntimeError, match="Connection reset"), team.together():
        raise RuntimeError("Connection reset by peer")
