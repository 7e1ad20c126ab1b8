"""Tell on SIGUSR1 what this process does, and what it decided lately.

The threads' stacks come first and straight from the interpreter, so that they come even
when the event loop hangs. The loop itself adds its tasks and the newest decisions, as
lines of the log and a few at a time: a log that is read slowly must lose none of them, and
serving must not notice. Stacks are names of files, lines and functions; no value is shown.
"""

import asyncio
import contextlib
import faulthandler
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import PurePath

from modeld.log import RETOLD, get_logger, kept

log = get_logger()

DECISIONS_KEPT = 1000

_LINES_AT_ONCE = 20
_PAUSE_SECONDS = 0.02
_DEEPEST = 12

_dumping: set[asyncio.Task[None]] = set()


def answer_signal(loop: asyncio.AbstractEventLoop) -> None:
    """Answer SIGUSR1 from now on."""
    loop.add_signal_handler(signal.SIGUSR1, _begin)
    try:
        where = _unblocked(sys.stderr.fileno())
        faulthandler.register(signal.SIGUSR1, file=where, all_threads=True, chain=True)
    except (AttributeError, OSError, ValueError):
        # A standard error without a file behind it; the loop's own part goes to the log.
        log.info("dump.without_threads")


def _unblocked(descriptor: int) -> int:
    """Open a pipe or a terminal once more, so that a write to it never waits for its reader.

    The flag cannot be set on what is open: others write through that too, and expect to wait.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{descriptor}", flags)
    return descriptor


def _begin() -> None:
    """Start to tell, unless that is going on already."""
    if not _dumping:
        task = asyncio.ensure_future(_dump())
        _dumping.add(task)
        task.add_done_callback(_dumping.discard)


async def _dump() -> None:
    for number, (event, values) in enumerate(_told()):
        log.info(f"{RETOLD}{event}", **values)
        if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
            await asyncio.sleep(_PAUSE_SECONDS)


def _told() -> Iterator[tuple[str, dict[str, object]]]:
    decisions = kept()
    for task in asyncio.all_tasks():
        yield "task", {"name": task.get_name(), "stack": _stack(task)}
    for decision in decisions:
        yield "decision", {"what": decision}
    yield "end", {"decisions": len(decisions)}


def _stack(task: asyncio.Task[object]) -> list[str]:
    """Say where a task waits, the innermost call last."""
    return [
        f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_qualname}"
        for frame in task.get_stack(limit=_DEEPEST)
    ]
