"""When a followed branch is looked at, and what is said of it."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from modeld.control.following import Following
from modeld.errors import GitDiverged, GitUnavailable
from modeld.git.follower import Follower
from modeld.git.mirror import Origin
from modeld.git.tree import Wanted
from modeld.log import configure
from tests.support.remotes import Remote

WANTED = Wanted(PurePosixPath("state/active.yaml"), PurePosixPath("models"))
INTERVAL = 3600.0


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    remote = Remote(tmp_path / "upstream")
    remote.write("models/v1/model.pkl", "one")
    remote.publish("state/active.yaml", "active: v1\n")
    return remote


@pytest.fixture
def following(remote: Remote, tmp_path: Path) -> Following:
    origin = Origin(str(remote.bare), allows_local=True)
    follower = Follower(tmp_path / "git", origin, WANTED)
    models = follower.checkouts.link / "models"
    return Following(follower, origin.url, models, INTERVAL, spread=lambda _low, high: high)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure("text", stream=stream)
    yield stream
    configure("text")


def hide(remote: Remote) -> Path:
    return remote.bare.rename(remote.bare.with_name("hidden"))


async def test_rounds_are_an_interval_apart_give_or_take_a_fifth(following: Following) -> None:
    await following.sync()

    assert following.pause() == INTERVAL * 1.2


async def test_a_remote_that_is_away_is_asked_soon_and_then_less_often(
    remote: Remote, following: Following
) -> None:
    hidden = hide(remote)
    pauses = []
    for _ in range(11):
        with pytest.raises(GitUnavailable):
            await following.sync()
        pauses.append(following.pause() / 1.2)

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    hidden.rename(remote.bare)
    await following.sync()
    assert following.pause() == INTERVAL * 1.2


async def test_a_rewritten_branch_is_looked_at_no_more_often_than_others(
    remote: Remote, following: Following
) -> None:
    await following.sync()
    remote.rewrite("state/active.yaml", "active: v2\n")

    with pytest.raises(GitDiverged):
        await following.sync()

    assert following.pause() == INTERVAL * 1.2


async def test_an_error_is_logged_once_and_so_is_its_end(
    remote: Remote, following: Following, log: io.StringIO
) -> None:
    await following.sync()
    hidden = hide(remote)
    for _ in range(3):
        with pytest.raises(GitUnavailable):
            await following.sync()
    hidden.rename(remote.bare)
    for _ in range(3):
        await following.sync()

    events = [line.split()[2] for line in log.getvalue().splitlines()]

    assert events == ["follow.switched", "follow.refused", "follow.recovered"]


async def test_a_hint_goes_a_round_at_once(remote: Remote, following: Following) -> None:
    moved = asyncio.Event()
    following.on_switch = moved.set
    task = asyncio.create_task(following.run())
    async with asyncio.timeout(20):
        await moved.wait()
        moved.clear()
        second = remote.publish("state/active.yaml", "active: v2\n")

        following.hint()

        await moved.wait()
    task.cancel()
    assert following.commit == second


async def test_rounds_that_are_asked_for_together_go_one_after_another(
    remote: Remote, following: Following
) -> None:
    first = remote.head()

    rounds = await asyncio.gather(*(following.sync() for _ in range(4)))

    assert [found.previous for found in rounds] == [None, first, first, first]
    assert {found.head.commit for found in rounds} == {first}


async def test_live_versions_that_a_commit_lacks_are_named(following: Following) -> None:
    following.live = lambda: {"default": "v1", "churn": "v7"}

    await following.sync()

    assert following.document()["gone"] == ["churn@v7"]
