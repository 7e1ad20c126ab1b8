"""Give tests a remote, and somebody who follows it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from modeld.git.follower import Follower
from modeld.git.mirror import Origin
from modeld.git.tree import Wanted
from tests.support.remotes import Remote

WANTED = Wanted(PurePosixPath("state/active.yaml"), PurePosixPath("models"))

Follow = Callable[..., Follower]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """A remote with one commit, in which v1 is active."""
    remote = Remote(tmp_path / "upstream")
    remote.write("models/v1/model.pkl", b"one" * 1000)
    remote.write("README", "not served\n")
    remote.publish("state/active.yaml", "active: v1\n")
    return remote


@pytest.fixture
def follow(tmp_path: Path, remote: Remote) -> Follow:
    """Make a follower of the remote; keywords are those of `Origin`."""

    def make(folder: Path = tmp_path / "git", **options: object) -> Follower:
        origin = Origin(str(remote.bare), allows_local=True)
        return Follower(folder, replace(origin, **options), WANTED)  # type: ignore[arg-type]  # the fields of Origin

    return make


@pytest.fixture
def follower(follow: Follow) -> Follower:
    """A follower that has gone one round."""
    follower = follow()
    follower.go()
    return follower
