import asyncio
from pathlib import Path

import pytest

from modeld.desired.index_lock import IndexLock

LONG, SHORT = 60.0, 0.1


@pytest.fixture
def git(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path / ".git"


def lock_of(git: Path, limit_seconds: float) -> IndexLock:
    return IndexLock(git.parent / "state" / "active.yaml", limit_seconds)


async def test_where_git_is_not_at_work_nothing_waits(git: Path) -> None:
    async with asyncio.timeout(5):
        await lock_of(git, LONG).released()


async def test_outside_of_git_nothing_waits(tmp_path: Path) -> None:
    async with asyncio.timeout(5):
        await IndexLock(tmp_path / "active.yaml", LONG).released()


async def test_git_is_waited_for(git: Path) -> None:
    (git / "index.lock").touch()
    waiting = asyncio.ensure_future(lock_of(git, LONG).released())
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done

    (git / "index.lock").unlink()

    async with asyncio.timeout(5):
        await waiting


async def test_the_lock_of_a_linked_work_tree_is_the_one_that_counts(tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "tree" / "state").mkdir(parents=True)
    (tmp_path / "tree" / ".git").write_text("gitdir: ../git\n")
    (tmp_path / "git" / "index.lock").touch()
    lock = IndexLock(tmp_path / "tree" / "state" / "active.yaml", LONG)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await lock.released()


async def test_a_lock_that_was_left_is_given_up_once_and_stays(git: Path) -> None:
    (git / "index.lock").touch()
    lock = lock_of(git, SHORT)
    clock = asyncio.get_running_loop().time
    begun = clock()
    await lock.released()
    assert clock() - begun >= SHORT

    lock._limit_seconds = LONG
    async with asyncio.timeout(5):
        await lock.released()

    assert (git / "index.lock").exists()
