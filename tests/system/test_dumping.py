"""What the control process tells of itself: its decisions, and its stacks on SIGUSR1."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server import Server, cared_for, eventually, make_server

ROW = {"features": [1, 2, 3, 4]}
TOKEN = "a-token-that-is-long-enough-to-be-one"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("dumping") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start(MODELD_ADMIN_TOKEN=TOKEN)
        eventually(lambda: server.predict(ROW).status == 200, "a prediction")
        yield server


def decisions(server: Server) -> list[dict[str, Any]]:
    answer = server.get("/admin/decisions", Authorization=f"Bearer {TOKEN}")
    found: list[dict[str, Any]] = answer.json["decisions"]
    return found


def test_decisions_say_what_became_live_why_and_how_long_it_took(running: Server) -> None:
    assert running.command("rollback", "--to", "v2", "--reason", "p99 4x").returncode == 0

    found = [event for event in decisions(running) if event["event"] == "version.live"][-1]

    assert (found["version"], found["previous"], found["trigger"]) == ("v2", "v1", "rollback")
    assert found["reason"] == "p99 4x"
    assert found["actor"]
    assert found["seconds"] > 0
    assert found["at"].startswith("20")


def test_decisions_are_for_those_who_may_use_the_admin_api(running: Server) -> None:
    assert running.get("/admin/decisions").status == 401


def test_a_signal_has_stacks_and_decisions_told_and_serving_goes_on(running: Server) -> None:
    assert running.process is not None
    told = len(decisions(running))

    os.kill(running.process.pid, signal.SIGUSR1)
    eventually(lambda: "kept.end" in running.log.read_text(), "the end of what is told")

    text = running.log.read_text()
    assert "most recent call first" in text
    assert "Reconciler.run" in text
    assert text.count("info kept.decision") >= told
    assert TOKEN not in text
    assert running.predict(ROW).status == 200
    assert len(decisions(running)) == told
