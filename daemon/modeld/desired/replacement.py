"""Replace a file so that nobody ever reads half of it, even across a power cut.

The new bytes go to a file beside the old one, reach the disk, and take over the
name in one step; then the folder reaches the disk too. There is no fallback to
writing in place, which a reader or a crash would catch half done.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(path: Path, data: bytes, *, check: Callable[[], None]) -> None:
    """Put bytes in place of a file, keeping its mode; `check` may still object at the last moment.

    Raises OSError when the folder or the file cannot be changed.
    """
    with opened(path.parent, _FOLDER) as folder:
        name = f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        try:
            _write(name, data, folder, _status(path.name, folder))
            check()
            os.rename(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(name, folder)
            raise
        # Renamed is renamed: a file system that cannot sync folders changes nothing about it.
        with contextlib.suppress(OSError):
            os.fsync(folder)


def sweep(path: Path) -> None:
    """Remove what writers that died have left beside a file. Nobody may be writing meanwhile."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.\d+\.[0-9a-f]+\.tmp")
    with contextlib.suppress(OSError):
        for file in path.parent.iterdir():
            if ours.fullmatch(file.name):
                file.unlink()


@contextlib.contextmanager
def opened(path: Path | str, flags: int, **options: int) -> Iterator[int]:
    """Open a file as a number for a while; `options` are those of `os.open`."""
    descriptor = os.open(path, flags, **options)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _write(name: str, data: bytes, folder: int, old: os.stat_result | None) -> None:
    """Write a new file to the disk, for the same people as the old one."""
    with opened(name, _NEW_FILE, mode=0o644, dir_fd=folder) as descriptor:
        if old is not None:
            with contextlib.suppress(PermissionError):  # giving files away is for root
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, old.st_mode & 0o7777)
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
