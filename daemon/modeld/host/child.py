"""Prepare a process of ours: what every child does before its work.

Children live in sessions of their own, so that a Ctrl-C reaches the control process
alone. PDEATHSIG is a second line: the end of the inherited socket is the first.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; ends now if it has already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def give_up_privileges(memory: int) -> None:
    """Apply a host's limits: no new privileges, no core files, at most `memory` bytes (0: any)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def arm_timer(seconds: float) -> None:
    """End this process by SIGALRM after `seconds`, even if C code hangs; 0 disarms.

    The default action needs no Python to run, so that a library that never gives the
    interpreter back is ended all the same.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)


def reset_signals() -> None:
    """Undo what the parent did to signals, and leave being told to stop to the control process.

    A supervisor that sends SIGTERM to the whole group must not end a host whose workers
    still drain.
    """
    for name in (signal.SIGALRM, signal.SIGCHLD):
        signal.signal(name, signal.SIG_DFL)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)


def reap(child: int = 0, *, must_wait: bool = False) -> tuple[int, int] | None:
    """Wait for a child (0: any) and give its number and status; `None` while none has ended.

    What a child that led a session has left in it is killed first, where the system can tell
    of a death and keep the number: until then the number cannot be another's.
    """
    options = 0 if must_wait else os.WNOHANG
    if hasattr(os, "waitid"):
        kind = os.P_PID if child else os.P_ALL
        found = os.waitid(kind, child, os.WEXITED | os.WNOWAIT | options)
        if found is None:
            return None
        child = found.si_pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    pid, status = os.waitpid(child or -1, options)
    return (pid, status) if pid else None


def step_back(niceness: int = 19) -> None:
    """Have this thread yield the processor to others; those of its own process stay as they are.

    There is no way back without privileges, so work that is not urgent has a thread of its own.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def trim_heap() -> None:
    """Give freed memory back to the system where the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
