"""Calls, deploys and requests at the same moment: nothing fails, and one story is left."""

import itertools
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.deploys import Upstream
from tests.support.load import loaded
from tests.support.server import GIT, Server, eventually

pytestmark = pytest.mark.light

ROUNDS = 12
DEPLOYS = {
    "reset": ("reset", "-q", "--hard"),
    "checkout": ("checkout", "-q", "-f", "--detach"),
    "pull": ("pull", "-q", "--no-rebase", "-X", "theirs", "--no-edit", "origin"),
}


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again until the block ends."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("deploy", DEPLOYS)
def test_calls_while_git_writes_the_same_file(
    server: Server, upstream: Upstream, deploy: str
) -> None:
    commits = itertools.cycle([upstream.commit(f"active: {name}\n") for name in ("v2", "v1")])

    def run() -> None:
        """A pull may refuse to overwrite what a call has changed; that is git's right."""
        command = [*GIT, *DEPLOYS[deploy], next(commits)]
        subprocess.run(command, cwd=server.folder, capture_output=True, check=False)

    server.git("fetch", "-q", "origin")
    with loaded(server.port, connections=2) as load, beside(run):
        answers = [
            server.admin("set-active-version", {"version": name, "reason": "race"})
            for name in itertools.islice(itertools.cycle(("v1", "v2")), ROUNDS)
        ]

    assert {answer.status for answer in answers} <= {200, 409}, [a.body for a in answers]
    assert not load.failures
    assert {seen.status for seen in load.seen} == {200}
    eventually(lambda: has_come_to_rest(server), "one story")
    assert server.command("audit", "verify").returncode == 0


def has_come_to_rest(server: Server) -> bool:
    """Whether what serves is what the file asks for, or the status says that it is held."""
    status = server.status()
    wanted = server.state.read_text().split()[1]
    is_held = status["sync"]["status"] == "Held"
    return bool(server.live() == wanted or is_held) and status["sync"]["status"] != "Progressing"


@pytest.fixture
def upstream(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return Upstream(server, tmp_path_factory.mktemp("upstream"))


def test_a_file_that_vanishes_and_returns_all_the_time_fails_no_request(server: Server) -> None:
    texts = itertools.cycle(("active: v1\n", "active: v2\n"))

    def rewrite() -> None:
        server.state.unlink()
        server.state.write_text(next(texts))

    with loaded(server.port, connections=2) as load, beside(rewrite):
        eventually(lambda: len(load.seen) > 3000, "three thousand answers")

    assert not load.failures
    assert {seen.status for seen in load.seen} == {200}
    server.write_state("active: v2\n")
    server.wait_until_live("v2")
