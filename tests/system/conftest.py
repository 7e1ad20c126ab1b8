"""Fixtures of the tests on whole servers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.followed import Followed
from tests.support.remotes import Remote
from tests.support.server import cared_for, make_server


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    """A remote with v1 and v2, of which v1 is active, and a server that is not started."""
    remote = Remote(tmp_path / "upstream")
    for version in ("v1", "v2"):
        remote.add_example(version, is_light=True)
    remote.publish("state/active.yaml", "active: v1\n")
    server = make_server(tmp_path / "empty", versions=())
    shutil.rmtree(server.state.parent)
    with cared_for(server):
        yield Followed(server, remote)


@pytest.fixture
def serving(followed: Followed) -> Followed:
    """The server serves v1 of the remote, and looks every second."""
    followed.start()
    followed.server.wait_until_live("v1")
    return followed
