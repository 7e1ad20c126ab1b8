"""Run a real server on a folder of its own, and look at it from outside."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.support.versions import write_onnx

ROOT = Path(__file__).parent.parent.parent
DEADLINE_SECONDS = 30.0
T = TypeVar("T")
DEFAULTS = {
    "MODELD_WORKERS": "2",
    # Most tests are about hosts, which compiled versions leave; those about compiling say so.
    "MODELD_COMPILE": "never",
}
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.org")


def eventually(look: Callable[[], T | None], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """Look again and again until there is something to see; fails with `what` was awaited."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server process and the folder that it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state" / "active.yaml"
        self.models = folder / "models"
        self.runtime = folder / ".git" / "modeld"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.log = folder.parent / f"{folder.name}.log"
        self.expects_tracebacks = False
        self.defaults = dict(DEFAULTS)
        self.module: tuple[str, ...] = ("modeld",)
        """What is run instead of modeld, with its first arguments."""

    # The folder

    def git(self, *arguments: str) -> str:
        """Run git in the folder."""
        done = subprocess.run(
            [*GIT, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write_state(self, text: str) -> str:
        """Replace the state file at once, as git and editors do; gives the new blob."""
        temporary = self.state.with_name("active.yaml.new")
        temporary.write_text(text)
        temporary.replace(self.state)
        return self.blob()

    def blob(self) -> str:
        """Give the blob of the state file as git computes it."""
        return self.git("hash-object", str(self.state))

    def add_version(self, name: str, source: Path | None = None) -> Path:
        """Add a version folder, copied from another one where `source` is given."""
        target = self.models / name
        if source is not None:
            shutil.copytree(source, target)
        else:
            target.mkdir(parents=True)
        return target

    # The process

    def start(self, *arguments: str, **environment: str) -> "Server":
        """Start the server and wait until its workers answer."""
        self.launch(*arguments, **environment)
        self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Wait until the launched process has workers that answer."""
        eventually(self._find_port, "server.json with a port")
        eventually(self._answers, "an answer to /healthz")

    def launch(self, *arguments: str, **environment: str) -> None:
        """Start the process without waiting."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MODELD_")}
        command = [sys.executable, "-m", *self.module, "serve", "--port", "0", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=kept | self.defaults | environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _find_port(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log.read_text()}")
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((self.runtime / "server.json").read_text())
            if content["pid"] == self.process.pid:
                self.port = content["port"]
        return bool(self.port)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/healthz").status == 200
        return False

    def stop(self, seconds: float = 30.0) -> int:
        """Send SIGTERM and wait; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self.process, self.port = None, 0
        return code

    def kill(self) -> None:
        """End the control process at once, as the system would for want of memory."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process, self.port = None, 0

    def wait_for_end(self, seconds: float = 20.0) -> None:
        """Wait until the control process has ended by itself."""
        assert self.process is not None
        self.process.wait(seconds)
        self.process, self.port = None, 0

    # Calls

    def call(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> Answer:
        """Make one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.call("GET", target, headers=headers)

    def predict(self, content: Any, query: str = "") -> Answer:
        """Ask for predictions; `content` is the body before it is JSON."""
        return self.call("POST", f"/predict{query}", json.dumps(content))

    def admin(self, path: str, content: Mapping[str, Any], **headers: str) -> Answer:
        """Call the admin API."""
        given = {"Content-Type": "application/json"} | headers
        return self.call("POST", f"/admin/{path}", json.dumps(content), given)

    def status(self) -> Any:
        return self.get("/admin/status").json

    def is_settled(self) -> bool:
        """Whether the file is served as it is, be it committed or not."""
        sync = self.status()["sync"]
        return bool(sync["status"] == "Synced" or sync["reason"] == "Uncommitted")

    def live(self) -> str | None:
        """Name the live version."""
        found: str | None = self.status()["models"]["default"]["active"]
        return found

    def wait_until_live(self, version: str) -> None:
        """Wait until a version is live, and workers serve it."""
        eventually(lambda: self.live() == version and self.workers(), f"{version} live")

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command in the folder."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MODELD_")}
        return subprocess.run(
            [sys.executable, "-m", "modeld", *arguments],
            cwd=self.folder,
            env=kept | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    # Processes

    def workers(self) -> list[int]:
        """The pids of the workers that serve."""
        listed = self.status()["processes"]["workers"]
        return [worker["pid"] for worker in listed if worker["serves"]]

    def host(self, version: str = "v1") -> int:
        """The pid of a version's host; 0 when it has none."""
        loaded = self.status()["models"]["default"]["loaded"]
        pids = [r["host_pid"] for r in loaded if r["version"] == version]
        return pids[0] or 0 if pids else 0

    def family(self) -> list[int]:
        """All processes of this server, itself included."""
        assert self.process is not None
        return family_of(self.process.pid)


def family_of(pid: int) -> list[int]:
    """Give a process and all that it started, as far as their parents live."""
    parents = parents_of_all()
    found, new = [pid], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def parents_of_all() -> dict[int, int]:
    """Give the parent of every process of the system."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(fields[1])
    return parents


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return fields[0] not in "ZX"


def make_server(
    folder: Path, versions: Sequence[str] = ("v1", "v2"), *, is_light: bool = False
) -> Server:
    """Make a repository with the example versions and `active: v1`, committed.

    A light one has ONNX versions that sum a row in their place, and one worker: nothing
    imports scikit-learn, so that it starts in half the time.
    """
    folder.mkdir(parents=True)
    server = Server(folder)
    for version in versions:
        add_example(server.models, version, is_light=is_light)
    if is_light:
        server.defaults["MODELD_WORKERS"] = "1"
    server.models.mkdir(exist_ok=True)
    server.state.parent.mkdir()
    server.state.write_text("active: v1\n")
    server.git("init", "-q", "-b", "main")
    server.git("add", "-A")
    server.git("commit", "-qm", "First state")
    return server


def add_example(models: Path, version: str, name: str = "", *, is_light: bool) -> Path:
    """Add an example version to a folder of versions, under another name if one is given."""
    target = models / (name or version)
    if is_light:
        return write_onnx(target, producer=version)
    shutil.copytree(ROOT / "models" / version, target)
    return target


@contextlib.contextmanager
def cared_for(server: Server) -> Iterator[Server]:
    """End the server after a test, and check what must hold after every one."""
    try:
        yield server
        check_invariants(server)
    finally:
        family = server.family() if server.process else []
        if server.process is not None:
            server.process.kill()
            server.process.wait()
        for pid in family[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def check_invariants(server: Server) -> None:
    """What holds whatever happened: it answers, ends cleanly, and leaves nothing behind."""
    leftovers = (
        [p.name for p in server.state.parent.glob(".*")] if server.state.parent.exists() else []
    )
    assert not leftovers, f"left beside the state file: {leftovers}"
    if server.process is not None:
        family = server.family()
        assert server.get("/healthz").status == 200
        assert server.stop() == 0, server.log.read_text()
        eventually(lambda: not any(map(is_alive, family)), f"no process of {family} left")
    if server.log.exists() and not server.expects_tracebacks:
        assert not re.search(r"Traceback", server.log.read_text()), server.log.read_text()
