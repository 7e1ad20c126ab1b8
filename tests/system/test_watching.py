"""Change the state file in every way that tools do: a running server sees each within 2 s.

Seen means that the status names the blob. The median of some changes tells events from
ticks, on a busy machine too; how quick they are is measured in `benchmarks`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from modeld.desired.document import blob_id
from tests.support.server import Server, cared_for, eventually, make_server

V1, V2 = "active: v1\n", "active: v2\n"
SECONDS_TO_SEE = 2.0
MEDIAN_OF_EVENTS = 0.4
TIMES = 6
# It goes on taking what others give back.
EXHAUST = """
import ctypes, resource, time
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0:
    pass
print("none is left", flush=True)
while True:
    libc.inotify_init() >= 0 or time.sleep(0.001)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all changes of a plain file."""
    with cared_for(
        make_server(tmp_path_factory.mktemp("watch") / "repository", is_light=True)
    ) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


def seconds_until_seen(
    server: Server, text: str, change: Callable[..., object], *given: object
) -> float:
    """Make a change after which the file has this text, and wait until the status names it."""
    blob = blob_id(text.encode())
    begun = time.monotonic()
    change(*given)
    eventually(lambda: is_seen(server, blob), f"{text!r} seen", SECONDS_TO_SEE)
    return time.monotonic() - begun


def is_seen(server: Server, blob: str) -> bool:
    return bool(server.status()["desired"]["blob"] == blob)


def text_of(number: int) -> str:
    """A text for each change of a test; two that follow each other differ."""
    return (V2, V1)[number % 2]


# Ways to change a plain file


def replaced(state: Path, text: str) -> None:
    state.with_name("new").write_text(text)
    state.with_name("new").replace(state)


def written_in_place(state: Path, text: str) -> None:
    state.write_text(text)


def saved_by_an_editor(state: Path, text: str) -> None:
    state.rename(state.with_name("active.yaml~"))
    state.write_text(text)


def deleted_and_made_again(state: Path, text: str) -> None:
    state.unlink()
    state.write_text(text)


def folder_removed_and_made_again(state: Path, text: str) -> None:
    shutil.rmtree(state.parent)
    state.parent.mkdir()
    state.write_text(text)


def folder_renamed(state: Path, text: str) -> None:
    prepared, away = state.parent.with_name("prepared"), state.parent.with_name("away")
    shutil.rmtree(away, ignore_errors=True)
    prepared.mkdir()
    (prepared / state.name).write_text(text)
    state.parent.rename(away)
    prepared.rename(state.parent)


def replaced_by_an_older_file(state: Path, text: str) -> None:
    state.with_name("new").write_text(text)
    os.utime(state.with_name("new"), (1e9, 1e9))
    state.with_name("new").replace(state)


def written_twice(state: Path, text: str) -> None:
    replaced(state, "active: v2\nnote: in between\n")
    replaced(state, text)


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        written_in_place,
        saved_by_an_editor,
        deleted_and_made_again,
        folder_removed_and_made_again,
        folder_renamed,
        replaced_by_an_older_file,
        written_twice,
    ],
)
def test_a_change_is_seen(running: Server, change: Callable[[Path, str], None]) -> None:
    seconds_until_seen(running, V1, replaced, running.state, V1)

    waits = [
        seconds_until_seen(running, text, change, running.state, text)
        for text in map(text_of, range(TIMES))
    ]

    assert median(waits) <= MEDIAN_OF_EVENTS, waits
    assert running.status()["watch"]["mode"] == "events"


# Links and names


def start_at(server: Server, state: Path) -> None:
    """Start a server on a state file of its own."""
    server.start(MODELD_STATE_FILE=str(state), MODELD_RUNTIME_DIR=str(server.runtime))
    server.wait_until_live("v1")


def flip(link: Path, target: str) -> None:
    """Let a link name something else, in one step."""
    link.with_name("new_link").symlink_to(target)
    link.with_name("new_link").replace(link)


def test_flipped_data_of_kubernetes_is_seen(repository: Server) -> None:
    volume = repository.folder / "volume"

    def mount(number: int, text: str) -> None:
        (volume / f"..{number}").mkdir(parents=True)
        (volume / f"..{number}" / "active.yaml").write_text(text)
        flip(volume / "..data", f"..{number}")
        shutil.rmtree(volume / f"..{number - 1}", ignore_errors=True)

    mount(0, V1)
    (volume / "active.yaml").symlink_to("..data/active.yaml")
    start_at(repository, volume / "active.yaml")

    waits = [
        seconds_until_seen(repository, text, mount, number + 1, text)
        for number, text in enumerate(map(text_of, range(TIMES)))
    ]

    assert median(waits) <= MEDIAN_OF_EVENTS, waits


def test_a_flipped_work_tree_is_seen(repository: Server) -> None:
    root = repository.folder / "git-sync"
    root.mkdir()

    def check_out(number: int, text: str) -> None:
        tree = root / f"tree-{number}"
        repository.git("worktree", "add", "-q", "--detach", str(tree))
        (tree / "state" / "active.yaml").write_text(text)

    for number in range(TIMES + 1):
        check_out(number, text_of(number + 1))
    flip(root / "current", "tree-0")
    start_at(repository, root / "current" / "state" / "active.yaml")

    waits = [
        seconds_until_seen(
            repository, text_of(number + 1), flip, root / "current", f"tree-{number}"
        )
        for number in range(1, TIMES + 1)
    ]

    assert median(waits) <= MEDIAN_OF_EVENTS, waits


@pytest.mark.parametrize("name", [".venv", ".git", "node_modules"])
def test_no_folder_is_passed_over_for_its_name(repository: Server, name: str) -> None:
    state = repository.folder / name / "deployed" / "active.yaml"
    state.parent.mkdir(parents=True)
    state.write_text(V1)
    start_at(repository, state)

    waits = [
        seconds_until_seen(repository, text, replaced, state, text)
        for text in map(text_of, range(TIMES))
    ]

    assert median(waits) <= MEDIAN_OF_EVENTS, waits


# Without events, and with git at work


# It takes all of this user's inotify instances: others that run meanwhile would get no events.
@pytest.mark.serial
def test_without_inotify_the_tick_sees_each_change(repository: Server) -> None:
    with subprocess.Popen([sys.executable, "-c", EXHAUST], stdout=subprocess.PIPE) as hoarder:
        try:
            assert hoarder.stdout is not None
            assert hoarder.stdout.readline() == b"none is left\n"
            repository.start()
            repository.wait_until_live("v1")
            assert repository.status()["watch"]["mode"] == "poll"

            for text in map(text_of, range(TIMES)):
                seconds_until_seen(repository, text, replaced, repository.state, text)

            assert repository.status()["watch"]["mode"] == "poll"
        finally:
            hoarder.kill()

    eventually(lambda: repository.status()["watch"]["mode"] == "events", "events again")
    assert repository.status()["watch"]["missed"] == 0


def test_a_text_waits_for_a_git_that_is_at_work(running: Server) -> None:
    seconds_until_seen(running, V1, replaced, running.state, V1)
    lock = running.folder / ".git" / "index.lock"
    lock.touch()
    replaced(running.state, "active: v2\nnote: half of a checkout\n")
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: running.status()["desired"]["blob"] != blob_id(V1.encode()), "", 0.5)

    replaced(running.state, V2)
    lock.unlink()

    eventually(lambda: is_seen(running, blob_id(V2.encode())), "the whole checkout", SECONDS_TO_SEE)
    assert "half of a checkout" not in running.log.read_text()


def test_a_lock_that_a_killed_git_left_delays_and_stays(running: Server) -> None:
    seconds_until_seen(running, V1, replaced, running.state, V1)
    lock = running.folder / ".git" / "index.lock"
    lock.touch()
    try:
        begun = time.monotonic()
        replaced(running.state, V2)
        eventually(lambda: is_seen(running, blob_id(V2.encode())), "v2 seen")
        assert time.monotonic() - begun >= 5
        assert lock.exists()
    finally:
        lock.unlink()
