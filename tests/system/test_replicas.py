"""Several hosts for one version: they share its requests, and each may die."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import Server, eventually, is_alive
from tests.support.versions import write_model

# Answers with the process that computed it, after holding the interpreter for a while.
BUSY = (
    "lambda self, rows: [__import__('time').sleep(0.05) or __import__('os').getpid()] * len(rows)"
)


def hosts(server: Server) -> list[int]:
    (loaded,) = server.status()["models"]["default"]["loaded"]
    pids: list[int] = loaded["host_pids"]
    return pids


@pytest.fixture
def replicas(repository: Server) -> Server:
    folder = write_model(repository.models / "busy", BUSY)
    (folder / "model.yaml").write_text("hosts: 3\nrank: 1\n")
    repository.write_state("active: busy\n")
    repository.start(MODELD_WORKERS="1")
    repository.wait_until_live("busy")
    return repository


def test_all_hosts_answer_and_take_turns(replicas: Server) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: replicas.predict({"features": [[1.0]]}), range(30)))
    took = time.monotonic() - started

    found = {answer.json["predictions"][0] for answer in answers}
    assert found == set(hosts(replicas))
    assert len(found) == 3
    assert took < 30 * 0.05


def test_a_host_that_dies_is_replaced_while_the_others_answer(replicas: Server) -> None:
    dead, *others = hosts(replicas)

    os.kill(dead, signal.SIGKILL)
    answers = [replicas.predict({"features": [[1.0]]}) for _ in range(5)]
    now = eventually(
        lambda: pids if dead not in (pids := hosts(replicas)) else None, "another host"
    )

    assert {answer.status for answer in answers} == {200}
    assert set(others) < set(now)
    assert len(now) == 3
    eventually(lambda: replicas.status()["health"]["status"] == "Healthy", "healthy")


def test_all_of_them_end_with_the_version(replicas: Server) -> None:
    before = hosts(replicas)

    replicas.stop()

    eventually(lambda: not any(map(is_alive, before)), "no host")


@pytest.mark.parametrize("count", ["0", "65", "-1", "two"])
def test_a_count_that_makes_no_sense_is_refused(replicas: Server, count: str) -> None:
    folder = write_model(replicas.models / "odd")
    (folder / "model.yaml").write_text(f"hosts: {count}\n")

    answer = replicas.admin("set-active-version", {"version": "odd"})

    assert (answer.status, answer.json["code"]) == (422, "manifest_invalid")
    assert "hosts" in answer.json["error"]
