"""Hint that the file which a path names may have changed.

Folders are watched and never the file: a rename gives the file a new inode, and
the old watch goes deaf. Every folder that has a say is watched, that is, the
one that holds the file and those that hold a link on the way to it, so that a
flipped link is seen too. No event is filtered out: which one a change gives
depends on the file system and on the tool that made it.

Events only make it quick. The tick is what can be relied on: it needs no event,
survives a full inotify table and network disks, and arms the watch again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import watchfiles

Mode = Literal["events", "poll"]
Hint = Literal["change", "tick"]

_LOOK_SECONDS = 0.1  # how often to ask whether the watched folders are still the right ones
_MAX_LINKS = 40  # as many as Linux follows

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder, and which one it was: another may come to stand under its name."""

    path: str
    device: int
    inode: int


class FolderWatch:
    """Watches the folders that decide what one path names."""

    def __init__(self, path: Path, tick: float) -> None:
        self._path = path
        self._tick = tick
        self._look = min(_LOOK_SECONDS, tick)
        self._mode: Mode | None = None

    @property
    def mode(self) -> Mode:
        """Whether events arrive, or only the tick is left."""
        return self._mode or "poll"

    async def hints(self) -> AsyncGenerator[Hint, None]:
        """Yield on every event, at least once a tick, and once soon after watching began.

        What a new watch begins with counts as a change: before it, no event was to be had.
        """
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            folders = watched_folders(self._path)
            is_new = True
            async with contextlib.aclosing(self._looks(folders)) as looks:
                async for changed in looks:
                    is_stale = _is_stale(folders, changed, self._path)
                    if changed or is_stale or clock() >= due:
                        # What changed while the watch was being moved gave no event.
                        due = clock() if is_stale else clock() + self._tick - self._look
                        is_told = bool(changed) or is_stale or is_new
                        is_new = False
                        yield "change" if is_told and self.mode == "events" else "tick"
                    if is_stale:
                        break

    async def _looks(self, folders: tuple[WatchedFolder, ...]) -> AsyncGenerator[set[str], None]:
        """Yield several times a second the paths that changed; end when watching fails."""
        events = watchfiles.awatch(
            *(folder.path for folder in folders),
            watch_filter=None,
            recursive=False,
            step=10,
            debounce=50,
            rust_timeout=int(self._look * 1000),
            yield_on_timeout=True,
            # Its own polling compares whole seconds; the tick does better.
            force_polling=False,
        )
        try:
            async with contextlib.aclosing(events):
                async for changes in events:
                    self._set_mode("events")
                    yield {path for _, path in changes}
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in its Rust part is no Exception
            self._set_mode("poll", error)
        await asyncio.sleep(self._tick)
        yield set()

    def _set_mode(self, mode: Mode, error: BaseException | None = None) -> None:
        if mode == self._mode:
            return
        self._mode = mode
        if error is None:
            _log.info("state.watch mode=%s", mode)
        else:
            _log.warning("state.watch mode=%s error=%s", mode, error)


def _is_stale(folders: tuple[WatchedFolder, ...], changed: set[str], path: Path) -> bool:
    """Tell whether other folders have to be watched from now on.

    A folder that was removed and made again may get its old inode back, and only
    the event of its removal tells; a folder that was renamed may give no event.
    """
    return any(folder.path in changed for folder in folders) or watched_folders(path) != folders


def watched_folders(path: Path) -> tuple[WatchedFolder, ...]:
    """List the folders whose entries decide which file a path names."""
    found = (_folder(folder) for folder in _folders_on_the_way(path))
    return tuple(dict.fromkeys(found))


def _folders_on_the_way(path: Path) -> list[Path]:
    """Walk a path as the kernel does, noting the folder of each link and of the end."""
    folders: list[Path] = []
    here = Path("/")
    ahead = list(reversed((Path.cwd() / path).parts[1:]))
    while ahead:
        part = ahead.pop()
        if part == "..":
            here = here.parent
            continue
        target = _link_target(here / part)
        if target is None or len(folders) >= _MAX_LINKS:
            here /= part
            continue
        folders.append(here)
        here = Path("/") if target.is_absolute() else here
        ahead.extend(reversed([part for part in target.parts if part != "/"]))
    return [*folders, here.parent]


def _link_target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _folder(path: Path) -> WatchedFolder:
    """Identify a folder; while it is missing, the nearest one that it would appear in."""
    try:
        status = path.stat()
    except OSError:
        return _folder(path.parent) if path != path.parent else WatchedFolder(str(path), 0, 0)
    return WatchedFolder(str(path), status.st_dev, status.st_ino)
