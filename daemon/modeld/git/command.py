"""Run git so that nothing in a repository can make it run anything else.

Hooks, the file-system monitor and pagers are switched off for each command, and only https
and ssh are spoken unless local paths are allowed. What would run the filters that a repository
names is not asked for, or without them; a deploy into the user's own work tree is excepted.
A folder that belongs to another user is excepted for the one command, and no configuration is
ever written. No command may ask for a password, and each ends within its time, with all that
it started.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from modeld.errors import GitError, GitUnavailable, GitUrlRefused

LOCAL_SECONDS = 30.0
REMOTE_SECONDS = 60.0

_SAFE = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.pager=cat"),
    *("-c", "protocol.ext.allow=never", "-c", "gc.auto=0", "-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false", "-c", "core.attributesFile=/dev/null"),
)
_REMOTE = ("https", "ssh")
# user@host:path, as ssh takes it. A host that begins with "-" would be read as an option.
_SCP_LIKE = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^\s:][^\s]*"
)
_URL = re.compile(r"(?P<scheme>https|ssh)://(?!-)(?:[^\s/@]*@)?[A-Za-z0-9\[][^\s/]*/[^\s]*")
_SECRET = re.compile(r"(?<=//)[^/@\s]+@")
_LONGEST_MESSAGE = 300
_TELLING = ("fatal:", "error:", "!", "remote: error")
_SSH_FAILED = "fatal: Could not read from remote repository"


class Git:
    """Git in one folder: a work tree, or a bare repository."""

    def __init__(
        self,
        folder: Path,
        *,
        allows_local: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._given = dict(environment or {})
        self._protocols = ":".join((*_REMOTE, "file") if allows_local else _REMOTE)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    def run(
        self,
        *arguments: str,
        given: bytes = b"",
        environment: Mapping[str, str] | None = None,
        seconds: float = LOCAL_SECONDS,
    ) -> bytes:
        """Run a command and give what it prints.

        Raises `GitError` with git's own words, and `GitUnavailable` where git is missing or
        does not end in time.
        """
        code, printed, complaint = self._run(arguments, given, environment or {}, seconds)
        if code != 0:
            raise GitError(f"git {arguments[0]}: {_in_words(complaint) or f'exit code {code}'}")
        return printed

    def text(self, *arguments: str, given: bytes = b"", seconds: float = LOCAL_SECONDS) -> str:
        """Run a command and give its text without the line's end."""
        return self.run(*arguments, given=given, seconds=seconds).decode(errors="replace").strip()

    def ask(self, *arguments: str) -> str | None:
        """Give the text that a command prints, or `None` where it fails."""
        with contextlib.suppress(GitError):
            return self.text(*arguments)
        return None

    def _run(
        self,
        arguments: tuple[str, ...],
        given: bytes,
        environment: Mapping[str, str],
        seconds: float,
    ) -> tuple[int, bytes, bytes]:
        with self._started(arguments, environment, subprocess.PIPE) as process:
            try:
                printed, complaint = process.communicate(given, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise GitUnavailable(
                    f"git {arguments[0]} did not end within {seconds:g} s"
                ) from None
        return process.returncode, printed, complaint

    @contextlib.contextmanager
    def conversing(
        self, *arguments: str, seconds: float = LOCAL_SECONDS
    ) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Give the two ends of a command that answers many times; it ends with the block."""
        with self._started(arguments, {}, subprocess.DEVNULL) as process:
            limit = threading.Timer(seconds, _kill, [process])
            limit.start()
            try:
                yield cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
            finally:
                limit.cancel()

    def stop(self) -> None:
        """End what runs, and run nothing more: those who wait get `GitUnavailable`."""
        self._is_stopped = True
        for process in tuple(self._running):
            _kill(process)

    @contextlib.contextmanager
    def _started(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], complaints: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        safe = (*_SAFE, "-c", f"safe.directory={self.folder}")
        command = ["git", *safe, "-C", str(self.folder), *arguments]
        try:
            process = subprocess.Popen(
                command,
                env={**_environment(self._protocols), **self._given, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )
        except OSError as error:
            raise GitUnavailable(f"git cannot be run: {error.strerror}") from error
        self._running.add(process)
        try:
            if self._is_stopped:
                _kill(process)
            yield process
        finally:
            if process.returncode is None:
                _kill(process)
                process.communicate()
            self._running.discard(process)
        if self._is_stopped:
            raise GitUnavailable("modeld is about to stop")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        # The helpers that it started are in its session; they go with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(protocols: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "MODELD_")) or name in ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
    }
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }


def _in_words(complaint: bytes) -> str:
    """Keep the lines that say what is wrong; a remote's address may hold a password."""
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    telling = [line for line in lines if line.startswith(_TELLING)]
    if telling and telling[0].startswith(_SSH_FAILED):
        # What ssh says of it stands before.
        telling = lines[: lines.index(telling[0])] or telling
    text = without_secret("; ".join((telling or lines)[:3]))
    return text[:_LONGEST_MESSAGE]


def without_secret(text: str) -> str:
    """Leave user and password out of the addresses in a text."""
    return _SECRET.sub("", text)


def check_url(url: str, *, allows_local: bool) -> None:
    """Raise `GitUrlRefused` for an address that git might take for a program or an option."""
    if _URL.fullmatch(url) or _SCP_LIKE.fullmatch(url):
        return
    is_local = url.startswith(("/", "./", "../", "file:///"))
    if is_local and allows_local:
        return
    hint = "; MODELD_GIT_LOCAL=on allows local paths" if is_local else ""
    raise GitUrlRefused(
        f"{without_secret(url)[:80]!r} is no address that is followed: "
        f"https://host/path, ssh://host/path or user@host:path{hint}"
    )
