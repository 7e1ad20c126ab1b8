"""Run a command at a terminal of its own, as a person does."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_SECONDS = 30.0


class Terminal:
    """A command at a terminal of 40 lines and 110 columns, and what it has written there."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MODELD_")}
        kept = {k: v for k, v in kept.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        env = kept | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment
        self.written = ""
        self._descriptor, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
        command = [sys.executable, "-m", "modeld", *arguments]
        self._process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=other, stdout=other, stderr=other,
            start_new_session=True,
        )  # fmt: skip
        os.close(other)

    def read_until(self, is_there: Callable[[str], bool], what: str) -> str:
        """Read until something is there; gives all that was written since the last time."""
        start, end = len(self.written), time.monotonic() + DEADLINE_SECONDS
        while not is_there(self.written[start:]):
            assert time.monotonic() < end, f"not at the terminal: {what}: {self.written!r}"
            if not self._read(0.1):
                break
        assert is_there(self.written[start:]), f"not at the terminal: {what}: {self.written!r}"
        return self.written[start:]

    def _read(self, seconds: float) -> bool:
        """Read what comes; tells whether more may come."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return True
        with contextlib.suppress(OSError):  # how Linux says that the other side is gone
            data = os.read(self._descriptor, 1 << 16)
            self.written += data.decode(errors="replace")
            return bool(data)
        return False

    def interrupt(self) -> None:
        """Have the command get what Ctrl-C gives it."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read to the end; gives the exit code."""
        end = time.monotonic() + DEADLINE_SECONDS
        while self._read(0.1):
            if time.monotonic() > end:
                self._process.kill()
        os.close(self._descriptor)
        return self._process.wait(DEADLINE_SECONDS)
