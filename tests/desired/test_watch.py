"""Watching through `StateFile.changes`, since what counts is that the new text gets read."""

import asyncio
import contextlib
import errno
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from modeld.desired.file import StateFile
from modeld.errors import StateEmpty, StateMissing, StateUnreadable

V1, V2 = "active: v1\n", "active: v2\n"
SECONDS_TO_SEE = 2.0
FAR_AWAY = 60.0  # a tick that no test waits for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "active.yaml"
    path.parent.mkdir()
    path.write_text(V1)
    return path


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Reader:
    """Reads the file at every hint, as the reconciler does."""

    def __init__(self, file: StateFile) -> None:
        self.file = file
        self.text: str | None = None
        self.hints = 0
        self._hinted = asyncio.Event()

    async def follow(self) -> None:
        async with contextlib.aclosing(self.file.changes()) as changes:
            async for _ in changes:
                self.hints += 1
                try:
                    self.text = self.file.read().data.decode()
                except (StateMissing, StateEmpty, StateUnreadable):
                    self.text = None
                self._hinted.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_TO_SEE):
            while not fact():
                self._hinted.clear()
                await self._hinted.wait()

    async def sees(self, text: str | None) -> None:
        await self.until(lambda: self.text == text)


@contextlib.asynccontextmanager
async def following(file: StateFile) -> AsyncIterator[Reader]:
    """Follow a file; the first hint comes when the watch is armed."""
    reader = Reader(file)
    task = asyncio.create_task(reader.follow())
    try:
        await reader.until(lambda: reader.hints > 0)
        yield reader
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def put(path: Path, text: str) -> None:
    """Replace a file as careful writers do."""
    new = path.with_name(".new")
    new.write_text(text)
    new.replace(path)


async def atomic_replace_thrice(path: Path, reader: Reader) -> None:
    for text in ("active: v2\n", "active: v3\n", "active: v4\n"):
        put(path, text)
        await reader.sees(text)


async def edit_in_place(path: Path, reader: Reader) -> None:
    for text in (V2, V1):
        path.write_text(text)
        await reader.sees(text)


async def delete_and_create_again(path: Path, reader: Reader) -> None:
    for text in (V2, V1):
        path.unlink()
        await reader.sees(None)
        path.write_text(text)
        await reader.sees(text)


async def remove_the_folder_and_make_it_again(path: Path, reader: Reader) -> None:
    for text in (V2, V1):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_text(text)
        await reader.sees(text)


async def lose_the_folder_for_a_while(path: Path, reader: Reader) -> None:
    shutil.rmtree(path.parent)
    await reader.sees(None)
    path.parent.mkdir()
    path.write_text(V2)
    await reader.sees(V2)
    put(path, V1)
    await reader.sees(V1)


async def rename_the_folder_away_and_back(path: Path, reader: Reader) -> None:
    away = path.parent.with_name("away")
    path.parent.rename(away)
    await reader.sees(None)
    put(away / path.name, V2)
    away.rename(path.parent)
    await reader.sees(V2)
    put(path, V1)
    await reader.sees(V1)


async def write_twice_within_a_second(path: Path, reader: Reader) -> None:
    put(path, V2)
    put(path, "active: v3\n")
    await reader.sees("active: v3\n")


async def write_with_an_older_time(path: Path, reader: Reader) -> None:
    new = path.with_name(".new")
    new.write_text(V2)
    os.utime(new, (1, 1))
    new.replace(path)
    await reader.sees(V2)


CHANGES = [
    atomic_replace_thrice,
    edit_in_place,
    delete_and_create_again,
    remove_the_folder_and_make_it_again,
    lose_the_folder_for_a_while,
    rename_the_folder_away_and_back,
    write_twice_within_a_second,
    write_with_an_older_time,
]
Change = Callable[[Path, Reader], Awaitable[None]]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_by_its_events(path: Path, lock: Path, change: Change) -> None:
    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        await change(path, reader)

        assert reader.file.mode == "events"


async def broken_watch(*_: Any, **__: Any) -> AsyncIterator[set[Any]]:
    raise OSError(errno.EMFILE, "Too many open files")
    yield set()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_without_any_event(
    path: Path, lock: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchfiles, "awatch", broken_watch)

    async with following(StateFile(path, lock, tick=0.02)) as reader:
        await change(path, reader)

        assert reader.file.mode == "poll"


@pytest.mark.parametrize("name", [".git", ".venv", "node_modules", "__pycache__"])
async def test_no_folder_name_hides_a_change(tmp_path: Path, lock: Path, name: str) -> None:
    path = tmp_path / name / "active.yaml"
    path.parent.mkdir()
    path.write_text(V1)

    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        await atomic_replace_thrice(path, reader)


def flip(link: Path, target: str) -> None:
    """Point a link elsewhere in one step, as Kubernetes and git-sync do."""
    new = link.with_name(link.name + "_tmp")
    new.symlink_to(target)
    new.replace(link)


async def test_a_config_map_flip_is_seen(tmp_path: Path, lock: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "active.yaml").write_text(f"active: v{number}\n")
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "active.yaml"
    path.symlink_to("..data/active.yaml")

    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        await reader.sees("active: v1\n")
        for number in (2, 3):
            flip(tmp_path / "..data", f"..{number}")
            shutil.rmtree(tmp_path / f"..{number - 1}")
            await reader.sees(f"active: v{number}\n")


async def test_a_work_tree_flip_is_seen(tmp_path: Path, lock: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "trees" / str(number) / "state").mkdir(parents=True)
        put(tmp_path / "trees" / str(number) / "state" / "active.yaml", f"active: v{number}\n")
    link = tmp_path / "links" / "current"
    link.parent.mkdir()
    link.symlink_to("../trees/1")
    path = link / "state" / "active.yaml"

    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        for number in (2, 3):
            flip(link, str(tmp_path / "trees" / str(number)))
            await reader.sees(f"active: v{number}\n")
        put(path, V1)
        await reader.sees(V1)


async def test_a_file_that_does_not_exist_yet_is_seen_when_it_comes(
    tmp_path: Path, lock: Path
) -> None:
    path = tmp_path / "later" / "state" / "active.yaml"

    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        path.parent.mkdir(parents=True)
        path.write_text(V1)
        await reader.sees(V1)


async def test_links_in_a_circle_do_not_stop_the_ticks(path: Path, lock: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)

    async with following(StateFile(path, lock, tick=0.05)) as reader:
        await reader.until(lambda: reader.hints > 3)


async def test_ticks_come_without_a_change(path: Path, lock: Path) -> None:
    async with following(StateFile(path, lock, tick=0.05)) as reader:
        await reader.until(lambda: reader.hints > 5)


async def test_reading_gives_no_hint(path: Path, lock: Path) -> None:
    """Else every hint would cause the next one."""
    async with following(StateFile(path, lock, tick=FAR_AWAY)) as reader:
        for _ in range(50):
            reader.file.read()
        put(path, V2)
        await reader.sees(V2)

        assert reader.hints < 10


class Panic(BaseException):
    """What the Rust part of the watcher raises when it fails: no Exception."""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no watches"), RuntimeError(), Panic()])
async def test_a_watch_that_fails_is_armed_again(
    path: Path, lock: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_watch = watchfiles.awatch
    tries = []

    async def awatch(*paths: Path, **options: Any) -> AsyncIterator[set[Any]]:
        tries.append(paths)
        if len(tries) < 3:
            raise error
        async for changes in real_watch(*paths, **options):
            yield changes

    monkeypatch.setattr(watchfiles, "awatch", awatch)

    async with following(StateFile(path, lock, tick=0.05)) as reader:
        assert reader.file.mode == "poll"
        await reader.until(lambda: reader.file.mode == "events")
        await atomic_replace_thrice(path, reader)


def open_watches() -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum("inotify" in str(link.readlink()) for link in links if link.is_symlink())


@pytest.mark.skipif(sys.platform != "linux", reason="counts inotify descriptors")
async def test_a_reader_that_is_cancelled_leaves_no_watch(path: Path, lock: Path) -> None:
    before = open_watches()

    async with following(StateFile(path, lock, tick=FAR_AWAY)):
        assert open_watches() == before + 1

    async with asyncio.timeout(1):
        while open_watches() > before:  # noqa: ASYNC110 - a closed descriptor sets no event
            await asyncio.sleep(0)
