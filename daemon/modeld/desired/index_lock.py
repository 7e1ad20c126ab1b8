"""Wait while git is at work in the folders of a file.

git writes the files of a checkout one by one, and holds `index.lock` for as long. A wish
that is read in between would be a mixture of two commits. The wait has an end, since a git
that was killed leaves its lock for ever; such a lock is never removed, as its owner may
only be slow, and is waited for only once.
"""

import asyncio
from pathlib import Path

from modeld.config_values import git_directory

_POLL_SECONDS = 0.02


class IndexLock:
    """The lock of the work tree that a file is in, if it is in one."""

    def __init__(self, path: Path, limit_seconds: float = 5.0) -> None:
        self._path = path
        self._limit_seconds = limit_seconds
        self._left_over: tuple[int, ...] | None = None

    async def released(self) -> None:
        """Return once nobody holds the lock, or it has been waited for long enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limit_seconds
        while (found := await asyncio.to_thread(self._find)) and found != self._left_over:
            if loop.time() >= end:
                self._left_over = found
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _find(self) -> tuple[int, ...] | None:
        """Identify the lock; each git makes its own file."""
        directory = git_directory(self._path)
        try:
            status = (directory / "index.lock").stat() if directory else None
        except OSError:
            return None
        # An inode may be used again at once; with the time it is another lock.
        return (status.st_ino, status.st_mtime_ns) if status else None
