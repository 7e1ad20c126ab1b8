"""Follow what happens by `/admin/events`, and go away in every way."""

import contextlib
import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import following
from tests.support.raw import connected, request
from tests.support.server import Server, cared_for, eventually, make_server

ROW = {"features": [1, 2, 3, 4]}
MOST_STREAMS = 32


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("events") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.fixture
def at_v1(running: Server) -> Server:
    running.write_state("active: v1\n")
    eventually(lambda: running.status()["sync"]["status"] == "Synced", "v1 as committed")
    return running


def test_the_whole_status_comes_first(at_v1: Server) -> None:
    with following(at_v1.port) as events:
        told = events.until("status")

    assert events.answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    assert events.answer.getheader("Cache-Control") == "no-store"
    assert told.keys() == at_v1.status().keys()
    assert told["models"]["default"]["active"] == "v1"


def test_a_change_of_the_file_arrives_within_a_second(at_v1: Server) -> None:
    with following(at_v1.port) as events:
        events.until("status")
        started = time.monotonic()
        at_v1.write_state("active: v2\n")

        events.until("status", lambda told: told["models"]["default"]["active"] == "v2")

    assert time.monotonic() - started < 1.0


def test_a_refusal_arrives_too(at_v1: Server) -> None:
    with following(at_v1.port) as events:
        events.until("status")
        at_v1.write_state("active: [\n")

        told = events.until("status", lambda told: told["sync"]["status"] == "Invalid")

    assert told["last_refused"]["line"]
    assert told["models"]["default"]["active"] == "v1"


def test_a_status_that_stays_the_same_is_told_once(at_v1: Server) -> None:
    with following(at_v1.port) as events:
        for _ in range(4):
            events.until("traffic")

    assert [name for name, _ in events.seen].count("status") <= 1


def test_the_traffic_of_each_version_comes_every_second(at_v1: Server) -> None:
    with following(at_v1.port) as events:
        before = events.until("traffic")
        assert at_v1.predict(ROW).status == 200
        assert at_v1.predict({"features": ["x"]}).status == 422

        told = events.until("traffic", lambda told: told["versions"])

    by_name = {each["version"]: each for each in told["versions"]}
    assert by_name["v1"]["ok"] >= 1
    assert by_name["v1"]["client_error"] >= 1
    assert by_name["v1"]["server_error"] == 0
    assert 0 < by_name["v1"]["p50_ms"] <= by_name["v1"]["p99_ms"]
    assert told["at"] > before["at"]


def test_only_so_many_may_follow_and_leaving_makes_room(at_v1: Server) -> None:
    eventually(lambda: can_follow(at_v1, MOST_STREAMS), "those who followed gone")
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            events = stack.enter_context(following(at_v1.port))
            assert events.answer.status == 200
            events.until("status")

        refused = at_v1.get("/admin/events")

    assert refused.status == 503
    assert refused.json["code"] == "too_many_streams"
    assert refused.headers["Retry-After"]
    eventually(lambda: can_follow(at_v1, MOST_STREAMS), "room for as many as before")


def can_follow(server: Server, count: int) -> bool:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(following(server.port)) for _ in range(count)]
        return all(events.answer.status == 200 for events in streams)


def test_the_connection_is_not_used_again(at_v1: Server) -> None:
    """Its end is the end of the stream, so a drain has nothing more to wait for."""
    with following(at_v1.port) as events:
        assert events.answer.getheader("Connection") == "close"
        assert events.answer.getheader("Transfer-Encoding") == "chunked"


def test_http_1_0_gets_the_events_without_a_coding(at_v1: Server) -> None:
    """Only over the socket of the commands: the port takes HTTP/1.1 from local callers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(at_v1.runtime / "control.sock"))
        sock.sendall(b"GET /admin/events HTTP/1.0\r\n\r\n")
        got = b""
        while b"event: status" not in got:
            got += sock.recv(65536)

    assert b"Transfer-Encoding" not in got
    assert got.split(b"\r\n\r\n", 1)[1].startswith(b": still here\n\n")


def test_a_head_request_is_answered_at_once(at_v1: Server) -> None:
    with connected(at_v1.port) as connection:
        host = f"127.0.0.1:{at_v1.port}"
        connection.send(request(method="HEAD", target="/admin/events", host=host))

        assert connection.answer(to_head=True).status == 200


def test_a_client_that_does_not_read_costs_nobody_else_anything(at_v1: Server) -> None:
    with connected(at_v1.port) as lazy, following(at_v1.port) as events:
        lazy.send(request(method="GET", target="/admin/events", host=f"127.0.0.1:{at_v1.port}"))
        for version in ("v2", "v1", "v2", "v1"):
            at_v1.write_state(f"active: {version}\n")
            events.until("status", partial(is_live, version))


def is_live(version: str, told: Any) -> bool:
    return bool(told["models"]["default"]["active"] == version)


@pytest.mark.light
def test_a_stop_ends_the_streams_cleanly_and_at_once(server: Server) -> None:
    with following(server.port) as events:
        events.until("status")
        started = time.monotonic()

        assert server.stop() == 0

        assert time.monotonic() - started < 5
        events.rest()


@pytest.mark.light
def test_a_drain_delay_does_not_keep_streams_open(repository: Server) -> None:
    repository.start(MODELD_DRAIN_DELAY="2s")
    with following(repository.port) as events:
        events.until("status")
        assert repository.process is not None
        repository.process.send_signal(signal.SIGTERM)
        started = time.monotonic()

        events.rest()

        assert time.monotonic() - started < 1.5
    assert repository.get("/admin/events").status == 503
    repository.wait_for_end()


@pytest.mark.light
def test_a_killed_worker_breaks_the_stream_and_the_next_one_goes_on(server: Server) -> None:
    with following(server.port) as events:
        events.until("status")
        os.kill(server.workers()[0], signal.SIGKILL)
        with contextlib.suppress(http.client.HTTPException, OSError):
            events.rest()

    eventually(lambda: can_follow(server, MOST_STREAMS), "all room given back")


@pytest.mark.light
def test_while_no_worker_lives_the_control_process_tells_the_events(server: Server) -> None:
    eventually(lambda: has_taken_port(server), "the control process on the port")

    with following(server.port) as events:
        told = events.until("status")
        assert told["health"]["reason"] == "NoWorkers"

        assert server.stop() == 0
        events.rest()


def has_taken_port(server: Server) -> bool:
    """Kill every worker there is; tells whether the control process does their work by now."""
    for pid in server.family():
        with contextlib.suppress(OSError):
            if b"modeld.serving.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    return "control.on_port" in server.log.read_text()
