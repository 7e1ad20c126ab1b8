"""When a text is taken, and what a server makes of the changes that no event told of.

`test_wish` has what is refused and why; `test_watching` has how soon a change is seen.
"""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from modeld.desired.document import blob_id
from tests.support.server import ROOT, Server, cared_for, eventually, make_server

UNFINISHED_SECONDS = 0.5


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, with versions whose names begin each other."""
    with cared_for(
        make_server(tmp_path_factory.mktemp("reconciling") / "repository", is_light=True)
    ) as server:
        for name in ("v10", "1.1", "1.10"):
            shutil.copytree(ROOT / "models" / "v2", server.models / name)
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.fixture
def at_v1(running: Server) -> Server:
    """The shared server with v1 live."""
    running.write_state("active: v1\n")
    eventually(lambda: observed(running) == running.blob(), "v1 seen")
    running.wait_until_live("v1")
    return running


def observed(server: Server) -> str | None:
    blob: str | None = server.status()["desired"]["blob"]
    return blob


def switches(server: Server) -> list[str]:
    """The versions that became live, in order."""
    lines = server.log.read_text().splitlines()
    found = (line.partition("version=")[2] for line in lines if "version.live " in line)
    return [rest.split()[0] for rest in found]


# Settling


def test_a_text_without_a_line_end_is_taken_later(at_v1: Server) -> None:
    begun = time.monotonic()
    blob = at_v1.write_state("active: v2")

    eventually(lambda: observed(at_v1) == blob, "it taken")

    assert time.monotonic() - begun >= UNFINISHED_SECONDS
    at_v1.wait_until_live("v2")


def test_what_a_slow_writer_has_written_so_far_is_not_applied(at_v1: Server) -> None:
    """`active: v1` is the beginning of `active: v10`, and both are there."""
    at_v1.write_state("active: v2\n")
    at_v1.wait_until_live("v2")
    eventually(lambda: switches(at_v1)[-1:] == ["v2"], "v2 written down")
    before = len(switches(at_v1))

    with at_v1.state.open("w", buffering=1) as file:
        for part in ("act", "ive:", " v1"):
            file.write(part)
            file.flush()
            looks_until(at_v1, time.time() + 0.2)
        file.write("0\n")

    at_v1.wait_until_live("v10")
    eventually(lambda: switches(at_v1)[-1:] == ["v10"], "v10 written down")
    assert switches(at_v1)[before:] == ["v10"]
    assert blob_id(b"active: v1") not in at_v1.log.read_text()
    assert at_v1.status()["last_refused"] is None


def looks_until(server: Server, end: float) -> None:
    """Let the server look at the file for a while: only time makes a writer slow."""
    eventually(lambda: server.status() and time.time() >= end, "time to pass")


def test_what_a_call_writes_is_not_taken_for_somebody_elses(at_v1: Server) -> None:
    generation = at_v1.status()["generation"]
    looked = at_v1.status()["watch"]["last_look"]

    answer = at_v1.admin("set-active-version", {"version": "v2"})

    assert answer.json["generation"] == generation + 1
    eventually(lambda: at_v1.status()["watch"]["last_look"] > looked, "a look at it")
    status = at_v1.status()
    assert (status["generation"], status["desired"]["blob"]) == (generation + 1, at_v1.blob())


# Texts


@pytest.mark.parametrize("text", ["null\n", "~\n", "---\n", "{}\n", "\n\n", "# nothing\n"])
def test_a_text_that_says_nothing_changes_nothing(at_v1: Server, text: str) -> None:
    blob = at_v1.write_state(text)

    refused = eventually(lambda: at_v1.status()["last_refused"], f"{text!r} refused")

    assert refused["blob"] == blob
    assert refused["reason"] in ("StateEmpty", "Invalid")
    assert at_v1.live() == "v1"


@pytest.mark.parametrize("version", ["1.1", "1.10"])
def test_a_version_that_looks_like_a_number_is_the_one_that_is_written(
    at_v1: Server, version: str
) -> None:
    at_v1.write_state(f"active: {version}\n")

    at_v1.wait_until_live(version)


# Changes without events

DEAF = """
import asyncio, watchfiles

async def awatch(*paths, rust_timeout, **options):
    while True:
        await asyncio.sleep(rust_timeout / 1000)
        yield set()

watchfiles.awatch = awatch
"""


def test_changes_that_no_event_told_of_are_seen_and_counted(
    repository: Server, tmp_path: Path
) -> None:
    """As on a network disk: the watch is armed without an error, and nothing comes."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEAF)
    places = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    repository.start(PYTHONPATH=os.pathsep.join(places))
    repository.wait_until_live("v1")
    eventually(lambda: seconds_since_event(repository) > 2.0, "the beginning forgotten")

    for number in range(3):
        blob = repository.write_state(f"active: v{number % 2 + 1}\nnote: {number}\n")
        wait_until_observed(repository, blob)

    eventually(lambda: repository.status()["watch"]["missed"] == 3, "all counted")
    assert repository.status()["watch"]["mode"] == "events"
    assert "modeld_watch_missed_total 3.0" in repository.get("/metrics").body.decode()


def wait_until_observed(server: Server, blob: str) -> None:
    eventually(lambda: observed(server) == blob, f"{blob} seen", 2.0)


def seconds_since_event(server: Server) -> float:
    watch = server.status()["watch"]
    look, event = (datetime.fromisoformat(watch[key]) for key in ("last_look", "last_event"))
    return (look - event).total_seconds()


def test_changes_that_events_told_of_are_not_counted(at_v1: Server) -> None:
    for version in ("v2", "v1", "v2"):
        at_v1.write_state(f"active: {version}\n")
        at_v1.wait_until_live(version)

    watch = at_v1.status()["watch"]
    assert (watch["mode"], watch["missed"]) == ("events", 0)
