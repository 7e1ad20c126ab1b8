"""Restart and replace servers under load: what connects meanwhile waits, and is answered."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.load import Load, loaded
from tests.support.passing import launch_with, open_socket
from tests.support.server import Server, cared_for, eventually, is_alive, make_server
from tests.support.versions import write_slow

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
CONFIG_EXIT = 78


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Server]:
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        yield server


@pytest.fixture
def passed() -> Iterator[socket.socket]:
    with open_socket() as sock:
        yield sock


def check(load: Load) -> None:
    assert not load.failures
    assert {(seen.status, seen.code) for seen in load.seen} == {(200, "")}


def moves_on(load: Load) -> None:
    """Wait for a hundred more answers."""
    enough = len(load.seen) + 100
    eventually(lambda: len(load.seen) > enough, "answers")


def all_gone(family: list[int]) -> None:
    eventually(lambda: not any(map(is_alive, family)), f"no process of {family} left")


def test_a_server_takes_the_socket_that_it_is_passed(
    repository: Server, passed: socket.socket
) -> None:
    repository.defaults["MODELD_WORKERS"] = "2"
    launch_with(repository, passed)
    repository.wait_until_live("v1")

    assert repository.port == passed.getsockname()[1]
    eventually(lambda: len(repository.workers()) == 2, "two workers")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: repository.predict(ROW), range(64)))
    assert {answer.status for answer in answers} == {200}


def test_twenty_restarts_under_load_fail_no_request(
    repository: Server, passed: socket.socket
) -> None:
    launch_with(repository, passed)
    repository.wait_until_live("v1")

    with loaded(repository.port, connections=8) as load:
        for _ in range(20):
            assert repository.stop() == 0
            launch_with(repository, passed)
            moves_on(load)

    check(load)


def test_the_first_request_waits_for_the_first_version(
    repository: Server, passed: socket.socket
) -> None:
    """It is in the queue before the server runs."""
    body = json.dumps(ROW)
    with socket.create_connection(passed.getsockname(), timeout=60) as early:
        early.sendall(
            f"POST /predict HTTP/1.1\r\nHost: localhost:{passed.getsockname()[1]}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        launch_with(repository, passed)

        assert early.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("text", ["active: v9\n", "active: [\n", None])
def test_predictions_do_not_wait_for_what_will_not_come(
    repository: Server, text: str | None
) -> None:
    if text is None:
        repository.state.unlink()
    else:
        repository.write_state(text)
    repository.git("rm", "-q", "--cached", "-r", "state")
    repository.git("commit", "-q", "--amend", "-m", "No state")
    repository.start()
    began = time.monotonic()

    answer = repository.predict(ROW)

    assert (answer.status, answer.json["code"]) == (503, "not_ready")
    assert time.monotonic() - began < 10


# modeld serve --replace


def replace(server: Server, *arguments: str) -> int:
    """Start a successor, and wait until it has taken over; gives the exit code of the other."""
    before = server.process
    assert before is not None
    server.launch("--replace", *arguments)
    code = before.wait(30)
    server.wait_until_up()
    return code


def test_a_replaced_server_fails_no_request(repository: Server) -> None:
    repository.start().wait_until_live("v1")
    port = repository.port

    with loaded(port, connections=8) as load:
        for _ in range(3):
            family = repository.family()
            assert replace(repository) == 0
            assert repository.port == port
            moves_on(load)
            all_gone(family)

    check(load)


def test_a_successor_takes_over_whatever_the_file_says_by_then(repository: Server) -> None:
    repository.start().wait_until_live("v1")
    assert repository.admin("set-active-version", {"version": "v2"}).status == 200

    assert replace(repository) == 0

    repository.wait_until_live("v2")


@pytest.mark.native
def test_who_waits_for_a_server_that_starts_is_answered_though_it_is_replaced(
    tmp_path: Path,
) -> None:
    with cared_for(make_server(tmp_path / "repository", versions=())) as server:
        write_slow(server.models / "slow", 2.0)
        server.write_state("active: slow\n")
        server.start()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(server.predict, ROW)
            assert replace(server) == 0

        assert waiting.result().status == 200
        server.wait_until_live("slow")


def test_without_a_server_there_is_nothing_to_replace(repository: Server) -> None:
    repository.start("--replace")

    assert repository.predict(ROW).status == 200


def test_a_server_that_was_killed_is_replaced_too(repository: Server) -> None:
    repository.start().wait_until_live("v1")
    family = repository.family()
    repository.kill()
    all_gone(family)
    assert (repository.runtime / "server.json").exists()

    repository.start("--replace")

    assert repository.predict(ROW).status == 200


@pytest.mark.parametrize("arguments", [("--port", "1"), ("--port", "0", "--host", "localhost")])
def test_another_address_is_refused_and_the_server_goes_on(
    repository: Server, arguments: tuple[str, ...]
) -> None:
    repository.start().wait_until_live("v1")

    done = repository.command("serve", "--replace", *arguments)

    assert done.returncode == CONFIG_EXIT
    assert "--replace keeps the address" in done.stderr
    assert repository.predict(ROW).status == 200


def test_the_port_does_not_hand_anything_over(repository: Server) -> None:
    repository.start().wait_until_live("v1")

    assert repository.admin("handover", {}).status == 404
    assert repository.process is not None
    assert repository.process.poll() is None
