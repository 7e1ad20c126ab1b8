"""Start a host in an environment of its own, and hear of its end."""

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import modeld.host
from modeld.control.environment import child_environment
from modeld.host.child import reap

_SCRIPT = Path(modeld.host.__path__[0]) / "alone.py"


def start_alone(
    python: Path,
    sock: socket.socket,
    memory: int,
    errors: int | None,
    on_exit: Callable[[int], None],
) -> int:
    """Start the process with its end of the connection; gives its number.

    `on_exit` is called on the event loop with the status that `waitpid` would give.
    """
    process = subprocess.Popen(
        [python, "-P", _SCRIPT, str(sock.fileno()), str(os.getpid()), str(memory)],
        pass_fds=[sock.fileno()],
        env=child_environment(is_host=True, is_alone=True),
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        start_new_session=True,
    )
    loop = asyncio.get_running_loop()

    def wait() -> None:
        ended = reap(process.pid, must_wait=True)
        status = ended[1] if ended else 0
        process.returncode = status  # so that nobody waits for it again
        # Where the loop has ended, nobody wants to know.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(on_exit, status)

    threading.Thread(target=wait, daemon=True).start()
    return process.pid
