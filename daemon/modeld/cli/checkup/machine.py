"""Look at the machine: Python, CPUs, inotify, room on the disks, the clock."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from modeld.cli.checkup.finding import Finding, ok, problem, warning
from modeld.config import Settings
from modeld.config_values import MIB, available_cpus

_OLDEST_PYTHON = (3, 11)
_FEW_BYTES, _LITTLE_BYTES = 100 * MIB, 1024 * MIB
_FEW_INSTANCES, _FEW_WATCHES = 8, 512
_BEFORE_THIS_PROGRAM = 1_750_000_000.0
_CLOCK_SECONDS = 60.0


def check_python() -> Finding:
    """Compare the version of Python with what is supported."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return problem("python", f"Python {found} is too old", "python3.11", "-m", "venv", ".venv")
    return ok("python", f"Python {found}")


def check_cpus(settings: Settings, cpus: int | None = None) -> Finding:
    """Compare the workers with the CPUs that this process may use."""
    cpus = cpus or available_cpus()
    count = settings.worker_count
    said = f"{count} worker{'s' if count > 1 else ''}, {cpus} CPU{'s' if cpus > 1 else ''}"
    if cpus < (os.cpu_count() or cpus):
        said += f" of {os.cpu_count()} by affinity and quota"
    if count > cpus:
        message = f"{said}: they take turns"
        return warning("cpus", message, "modeld", "serve", "--workers", str(cpus))
    return ok("cpus", said)


def check_inotify(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """See how many inotify instances and watches this user has left."""
    limits = {}
    for name in ("instances", "watches"):
        with contextlib.suppress(OSError, ValueError):
            text = (proc / "sys/fs/inotify" / f"max_user_{name}").read_text()
            limits[name] = int(text)
    if not limits:
        yield ok("inotify", "this system has none; files are looked at once a second")
        return
    used = _inotify_used(proc)
    for name, few in (("instances", _FEW_INSTANCES), ("watches", _FEW_WATCHES)):
        if name in limits:
            yield _left(name, limits[name], used[name], few)


def _left(name: str, limit: int, used: int, few: int) -> Finding:
    left = max(limit - used, 0)
    said = f"{left} of {limit} inotify {name} left"
    if left > few:
        return ok("inotify", said)
    setting = f"fs.inotify.max_user_{name}={max(2 * limit, 512)}"
    found = warning if left else problem
    return found("inotify", f"{said}: changes may be noticed late", "sudo", "sysctl", setting)


def _inotify_used(proc: Path) -> dict[str, int]:
    """Count what the processes of this user have; others' cannot be seen, and do not count."""
    used = {"instances": 0, "watches": 0}
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid != os.getuid():
                continue
            for entry in (process / "fd").iterdir():
                if str(entry.readlink()) == "anon_inode:inotify":
                    used["instances"] += 1
                    text = (process / "fdinfo" / entry.name).read_text()
                    used["watches"] += text.count("inotify wd:")
    return used


def check_disks(settings: Settings) -> Iterator[Finding]:
    """See how much room there is for the runtime folder and for models."""
    for name, path in (("runtime folder", settings.runtime_dir), ("models", settings.models_dir)):
        place = existing(path)
        free = shutil.disk_usage(place).free
        said = f"{free / MIB / 1024:.1f} GiB free for the {name}"
        if free >= _LITTLE_BYTES:
            yield ok("disk", said)
        else:
            found = problem if free < _FEW_BYTES else warning
            yield found("disk", said, "du", "-xh", "--max-depth=2", place)


def existing(path: Path) -> Path:
    """Give a path, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(filter(is_there, (path, *path.parents)), Path("/"))


def is_there(path: Path) -> bool:
    """Tell whether a path leads to something that may be looked at."""
    try:
        return path.exists()
    except OSError:  # a folder above it may not be entered
        return False


def check_clock(paths: Iterable[Path], now: float | None = None) -> Finding:
    """Compare the clock with the files: what was written cannot lie ahead."""
    now = time.time() if now is None else now
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    cure = ("sudo", "timedatectl", "set-ntp", "true")
    if now < _BEFORE_THIS_PROGRAM:
        return problem("clock", f"it says {said}, before this program was written", *cure)
    for path in paths:
        with contextlib.suppress(OSError):
            ahead = path.stat().st_mtime - now
            if ahead > _CLOCK_SECONDS:
                return warning("clock", f"{path.name} was written {ahead:.0f} s from now", *cure)
    return ok("clock", said)
