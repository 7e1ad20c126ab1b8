"""Tell systemd how the service is, by the protocol of sd_notify(3).

It is ready when a worker listens, whether a version loads or not: a server without one waits
for it, and a restart would not help. The watchdog is fed from the event loop, which makes a loop
that hangs a service that is started again.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

from modeld.control.environment import notify_address, watchdog_seconds
from modeld.control.progress import Progress

_SECONDS = 5.0
_SHORTEST = 0.1
_LONGEST_STATUS = 500


async def keep_told(
    progress: Progress, members: Callable[[], Sequence[object]], summary: Callable[[], str]
) -> None:
    """Tell systemd, until cancelled; returns at once where nobody listens."""
    address = notify_address()
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            # A leading @ stands for the zero byte of a name that is no file.
            sock.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        try:
            while not members():
                await progress.changed()
            _send(sock, "READY=1")
            await _keep_told(sock, progress, summary)
        finally:
            _send(sock, "STOPPING=1")


async def _keep_told(sock: socket.socket, progress: Progress, summary: Callable[[], str]) -> None:
    while True:
        text = " ".join(summary().split())[:_LONGEST_STATUS]
        _send(sock, f"STATUS={text}\nWATCHDOG=1")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_pause()):
                await progress.changed()


def _send(sock: socket.socket, state: str) -> None:
    # Whoever listens may be busy or gone, which must not stop a server.
    with contextlib.suppress(OSError):
        sock.send(state.encode(errors="replace"))


def _pause() -> float:
    """Give half of what the watchdog waits, in seconds."""
    return min(max(watchdog_seconds() / 2 or _SECONDS, _SHORTEST), _SECONDS)
