"""Kill and stop the processes of a real server, and see that nothing is lost."""

import contextlib
import json
import os
import pickle
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.load import DEMO_ROW, loaded
from tests.support.server import Server, eventually, is_alive

pytestmark = pytest.mark.serial

ROW = {"features": DEMO_ROW}


def request(port: int) -> bytes:
    body = json.dumps(ROW).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextlib.contextmanager
def connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(count)
        ]


def test_killing_a_worker_resets_none_of_a_hundred_waiting_connections(server: Server) -> None:
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)

    with connections(server.port, 100) as waiting:
        for sock in waiting:
            sock.sendall(request(server.port))
        os.kill(workers[0], signal.SIGKILL)
        os.kill(workers[1], signal.SIGCONT)
        answers = [sock.recv(1000) for sock in waiting]

    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 100


def test_connections_spread_evenly_over_the_workers(server: Server) -> None:
    workers = server.workers()

    with connections(server.port, 32) as clients:
        for sock in clients:
            sock.sendall(request(server.port))
            sock.recv(1000)
        ports = {sock.getsockname()[1] for sock in clients}
        counts = sorted(len(ports & peer_ports(pid)) for pid in workers)

    assert sum(counts) == 32
    assert counts[0] >= 12


def peer_ports(pid: int) -> set[int]:
    """Give the far ports of a process's TCP connections."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(entry.readlink()))
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in inodes:
            ports.add(int(fields[2].split(":")[1], 16))
    return ports


def test_a_stopped_worker_is_replaced_and_a_rollback_works_meanwhile(server: Server) -> None:
    assert server.admin("set-active-version", {"version": "v2"}).status == 200
    stopped, other = server.workers()
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()

    answer = json.loads(server.command("rollback", "--json").stdout)
    took = time.monotonic() - began

    assert answer["active"] == "v1"
    assert took < 4
    eventually(lambda: not is_alive(stopped), "the stopped worker gone", 6)
    eventually(lambda: len(server.workers()) == 2, "two workers", began + 6 - time.monotonic())
    assert other in server.workers()
    for _ in range(8):
        assert server.predict(ROW).json["model_version"] == "v1"


def test_an_idle_stopped_worker_is_replaced_within_six_seconds(server: Server) -> None:
    stopped = server.workers()[0]
    began = time.monotonic()

    os.kill(stopped, signal.SIGSTOP)

    eventually(lambda: not is_alive(stopped), "the stopped worker gone", 6)
    left = began + 6 - time.monotonic()
    eventually(lambda: serving_workers(server) == 2, "two workers", left)


def serving_workers(server: Server) -> int:
    """Count them as the control process does; the port might ask the stopped one."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(server.runtime / "control.sock"))
        sock.sendall(b"GET /admin/status HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    status = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    return sum(worker["serves"] for worker in status["processes"]["workers"])


def test_killing_a_worker_under_load_costs_only_its_own_connections(server: Server) -> None:
    victim = server.workers()[0]

    with loaded(server.port, connections=16) as load:
        eventually(lambda: len(load.seen) > 200, "load")
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(server.workers()) == 2 and victim not in server.workers(), "two")
        before = len(load.seen)
        eventually(lambda: len(load.seen) > before + 200, "more load")

    assert len(load.failures) <= 16
    assert all(seen.status == 200 for seen in load.seen)


def test_killing_a_host_under_load_fails_no_request(server: Server) -> None:
    host = server.host()

    with loaded(server.port) as load:
        eventually(lambda: len(load.seen) > 200, "load")
        os.kill(host, signal.SIGKILL)
        eventually(lambda: server.host() not in (0, host), "another host")
        before = len(load.seen)
        eventually(lambda: len(load.seen) > before + 200, "more load")

    assert load.failures == []
    assert all(seen.status == 200 for seen in load.seen)


def test_killing_the_nursery_leaves_its_hosts_and_the_next_version_loads(server: Server) -> None:
    nursery = server.status()["processes"]["nursery_pid"]

    os.kill(nursery, signal.SIGKILL)
    eventually(lambda: server.status()["processes"]["nursery_pid"] != nursery, "noticed")

    assert server.predict(ROW).json["model_version"] == "v1"
    assert server.admin("set-active-version", {"version": "v2"}).status == 200
    assert server.predict(ROW).json["model_version"] == "v2"


def test_killing_the_control_process_ends_everything_and_a_restart_serves(server: Server) -> None:
    server.write_state("active: v2\n")
    server.wait_until_live("v2")
    family = server.family()
    host = server.host("v2")

    server.kill()

    eventually(lambda: not any(map(is_alive, [*family, host])), "nothing left running", 15)
    server.start()
    server.wait_until_live("v2")
    assert server.predict(ROW).json["model_version"] == "v2"


def test_workers_answer_what_they_accepted_when_the_control_process_dies(server: Server) -> None:
    with loaded(server.port, connections=8) as load:
        eventually(lambda: len(load.seen) > 200, "load")
        family = server.family()
        server.kill()
        eventually(lambda: not any(map(is_alive, family)), "nothing left running", 15)

    assert [failure for failure in load.failures if failure != "connection refused"] == []
    assert all(seen.status == 200 for seen in load.seen)


class HangsOnNegatives:
    """A model that never comes back from C code for some rows."""

    n_features_in_ = 1

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (HANGING,)


HANGING = """type("Hangs", (), {
    "n_features_in_": 1,
    "predict": lambda self, rows: [
        __import__("ctypes").PyDLL(None).sleep(60) if row[0] < 0 else 7 for row in rows],
})()"""


def test_a_model_that_hangs_in_c_code_is_ended_and_comes_back(repository: Server) -> None:
    folder = repository.add_version("v9")
    (folder / "model.pkl").write_bytes(pickle.dumps(HangsOnNegatives()))
    repository.write_state("active: v9\n")
    repository.start(MODELD_REQUEST_TIMEOUT="1s")
    repository.wait_until_live("v9")

    hung = repository.predict({"features": [-1.0]})

    assert hung.status == 504
    assert hung.json["code"] == "deadline_exceeded"
    eventually(lambda: repository.predict({"features": [1.0]}).status == 200, "an answer")
    assert repository.predict({"features": [1.0]}).json["prediction"] == 7


def test_while_no_worker_lives_admin_works_and_predictions_get_503(repository: Server) -> None:
    """A worker that cannot start any more must not lock people out."""
    repository.start(MODELD_WORKERS="1")
    repository.wait_until_live("v1")

    def keep_killing() -> None:
        while not done:
            status = json.loads(repository.command("status", "--json").stdout)
            for worker in status["processes"]["workers"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker["pid"], signal.SIGKILL)

    done = False
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(keep_killing)
        try:
            answer = eventually(lambda: _unavailable(repository), "a 503 from the control process")
            assert answer["code"] == "not_ready"
            assert repository.get("/admin/status").status == 200
        finally:
            done = True
        killer.result()
    eventually(lambda: _is_predicted(repository), "predictions again")


def command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _unavailable(server: Server) -> dict[str, str] | None:
    with contextlib.suppress(OSError, TimeoutError):
        answer = server.call("POST", "/predict", json.dumps(ROW), seconds=1.0)
        if answer.status == 503:
            content: dict[str, str] = answer.json
            return content
    return None


def _is_predicted(server: Server) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        return server.predict(ROW).status == 200
    return False
