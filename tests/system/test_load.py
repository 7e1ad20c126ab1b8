"""Switch under load: no request fails, and none is answered by a version that was not live."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import pytest

from tests.support.load import GOLDEN, Load, loaded
from tests.support.server import Server, eventually

pytestmark = pytest.mark.serial

SWITCHES = 200


@dataclass(frozen=True)
class Change:
    """A version that became live: when its change began, and when it was acknowledged."""

    version: str
    began: float
    acknowledged: float


def by_edit(server: Server) -> str:
    blob = server.write_state("active: v2\n")
    eventually(lambda: server.status()["live"]["blob"] == blob, "the edit applied")
    server.git("commit", "-qam", "state: v2")
    return "v2"


def by_revert(server: Server) -> str:
    server.git("revert", "--no-edit", "HEAD")
    blob = server.blob()
    eventually(lambda: server.status()["live"]["blob"] == blob, "the revert applied")
    return "v1"


def by_post(server: Server) -> str:
    assert server.admin("set-active-version", {"version": "v2"}).status == 200
    return "v2"


def by_rollback(server: Server) -> str:
    answer = server.admin("rollback", {"reason": "test"})
    assert answer.json["active"] == "v1", answer.json
    return "v1"


def make(server: Server, change: Callable[[Server], str]) -> Change:
    began = time.monotonic()
    version = change(server)
    return Change(version, began, time.monotonic())


def was_live(changes: list[Change], version: str, start: float, end: float) -> bool:
    """Tell whether a version was live at some moment between start and end.

    It is from the moment that its change begins until the next one is acknowledged.
    """
    until = [change.acknowledged for change in changes[1:]] + [float("inf")]
    return any(
        change.version == version and change.began <= end and start <= last
        for change, last in zip(changes, until, strict=True)
    )


def wrong_answers(load: Load, changes: list[Change]) -> list[object]:
    return [
        seen
        for seen in load.seen
        if seen.status != 200
        or seen.prediction != GOLDEN[seen.version]
        or not was_live(changes, seen.version, seen.start, seen.end)
    ]


def test_two_hundred_switches_under_load_fail_no_request(server: Server) -> None:
    server.git("config", "user.name", "Test")
    server.git("config", "user.email", "test@example.org")
    ways = cycle((by_edit, by_revert, by_post, by_rollback))
    changes = [Change("v1", float("-inf"), float("-inf"))]

    with loaded(server.port) as load:
        eventually(lambda: len(load.seen) > 100, "load")
        changes += [make(server, way) for way in islice(ways, SWITCHES)]

    assert load.failures == []
    assert wrong_answers(load, changes) == []
    assert {seen.version for seen in load.seen} == {"v1", "v2"}
    assert len(load.seen) > 10 * SWITCHES


def test_sigterm_under_load_answers_every_accepted_request(server: Server) -> None:
    with loaded(server.port) as load:
        eventually(lambda: len(load.seen) > 500, "load")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(30)

    server.process = None
    assert code == 0
    assert [failure for failure in load.failures if failure != "connection refused"] == []
    assert all(seen.status == 200 for seen in load.seen)
