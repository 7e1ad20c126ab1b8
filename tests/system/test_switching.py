"""Switch and roll back a real server, from every direction."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import ROOT, Server, eventually

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


@pytest.mark.native
def test_a_change_of_the_file_switches(server: Server) -> None:
    assert server.predict(ROW).json == {"prediction": 1, "model_version": "v1"}

    server.write_state("active: v2\n")
    server.wait_until_live("v2")

    assert server.predict(ROW).json == {"prediction": 2, "model_version": "v2"}


def test_a_post_switches_and_rewrites_the_file(server: Server) -> None:
    answer = server.admin("set-active-version", {"version": "v2"})

    assert answer.status == 200
    assert answer.json["previous"] == "v1"
    assert answer.json["active"] == "v2"
    assert answer.json["written"] is True
    assert answer.json["blob"] == server.blob()
    assert server.state.read_text() == "active: v2\n"
    assert server.predict(ROW).json["model_version"] == "v2"


def test_a_copy_that_was_still_going_on_is_tried_again_when_it_is_complete(server: Server) -> None:
    server.expects_tracebacks = True
    data = (ROOT / "models" / "v2" / "model.pkl").read_bytes()
    path = server.add_version("v3") / "model.pkl"
    path.write_bytes(data[: len(data) // 2])
    blob = server.write_state("active: v3\n")
    eventually(lambda: (server.status()["last_refused"] or {}).get("blob") == blob, "refused")

    path.write_bytes(data)

    server.wait_until_live("v3")
    eventually(server.is_settled, "synced")


class SlowToLoad:
    """A model whose unpickling takes long."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return time.sleep, (10,)


def test_nothing_waits_for_a_version_that_is_slow_to_load(server: Server) -> None:
    (server.add_version("slow") / "model.pkl").write_bytes(pickle.dumps(SlowToLoad()))
    began = time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.admin, "set-active-version", {"version": "slow"})
        server.write_state("active: slow\n")
        eventually(lambda: server.status()["sync"]["status"] == "Progressing", "loading")
        answer = server.admin("set-active-version", {"version": "v2", "reason": "in a hurry"})
        took = time.monotonic() - began
        assert server.predict(ROW).json["model_version"] == "v2"
        assert slow.result().json["code"] == "load_failed"

    assert (answer.status, answer.json["active"]) == (200, "v2")
    assert took < 8
    assert server.live() == "v2"


def test_a_rollback_without_a_server_is_remembered(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})
    assert server.stop() == 0

    done = server.command("rollback")
    server.start()
    server.wait_until_live("v1")

    assert "now asks for v1" in done.stdout
    answer = server.admin("rollback", {})
    assert (answer.json["active"], answer.json["unchanged"]) == ("v1", True)


def test_a_rollback_from_what_was_never_live_stays_and_says_so_in_the_file(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})
    blob = server.write_state("active: v404\n")
    eventually(lambda: (server.status()["last_refused"] or {}).get("blob") == blob, "refused")

    answer = server.admin("rollback", {})

    assert (answer.json["active"], answer.json["written"]) == ("v2", True)
    assert server.state.read_text() == "active: v2\n"
    assert server.is_settled()


def test_a_further_version_that_is_slow_to_load_delays_nothing(server: Server) -> None:
    (server.add_version("slow") / "model.pkl").write_bytes(pickle.dumps(SlowToLoad()))
    server.expects_tracebacks = True
    began = time.monotonic()

    server.write_state("active: v2\nalso: [slow]\n")
    server.wait_until_live("v2")
    assert server.admin("rollback", {}).json["active"] == "v1"

    assert time.monotonic() - began < 8
    eventually(lambda: "slow" in str(server.status()["live"]["warnings"]), "the warning")
