"""A real server tells a real receiver what happened, and nobody else its address."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.https_git import speak_https
from tests.support.server import Server, cared_for, eventually, make_server

SECRET = "correct-horse-battery"


class Inbox(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[Any] = []
        self.turned_away = 0
        """How many clients ended the handshake."""
        self.url = f"http://127.0.0.1:{self.server_port}/{SECRET}"

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except ssl.SSLError:
            self.turned_away += 1
            raise

    def events(self) -> list[str]:
        return [body["event"] for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Inbox)
        self.server.bodies.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as inbox:
        thread = threading.Thread(target=inbox.serve_forever, args=(0.05,))
        thread.start()
        yield inbox
        inbox.shutdown()
        thread.join()


@pytest.fixture
def inbox_by_https(tmp_path: Path) -> Iterator[tuple[Inbox, Path]]:
    """A receiver with a certificate of its own, and the file to trust it by."""
    with Inbox() as inbox:
        certificate = speak_https(inbox, tmp_path)
        inbox.url = f"https://localhost:{inbox.server_port}/{SECRET}"
        thread = threading.Thread(target=inbox.serve_forever, args=(0.05,))
        thread.start()
        yield inbox, certificate
        inbox.shutdown()
        thread.join()


@pytest.fixture
def told(inbox: Inbox, tmp_path: Path) -> Iterator[Server]:
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        urls = f"http://127.0.0.1:1/{SECRET}, {inbox.url}"
        server.start(MODELD_NOTIFY_URL=urls, MODELD_PUBLIC_URL="https://models.example.org")
        assert server.command("wait", "--timeout", "30").returncode == 0
        yield server
    assert SECRET not in server.log.read_text()


def test_a_rollback_a_held_deploy_and_a_refused_wish_are_told_once_each(
    told: Server, inbox: Inbox
) -> None:
    told.write_state("active: v2\n")
    told.git("commit", "-qam", "Serve v2")
    assert told.command("wait", "--timeout", "30").returncode == 0

    assert told.command("rollback", "--reason", "p99 4x", "--actor", "anna").returncode == 0
    eventually(lambda: inbox.events() == ["rollback"], "the rollback told")
    told.git("checkout", "-q", "state/active.yaml")
    eventually(lambda: inbox.events() == ["rollback", "held"], "the held deploy told")
    told.write_state("active: [\n")
    eventually(lambda: inbox.events() == ["rollback", "held", "refused"], "the refusal told")

    rollback, held, refused = inbox.bodies
    assert (rollback["version"], rollback["previous"]) == ("v1", "v2")
    assert (rollback["actor"], rollback["reason"]) == ("anna", "p99 4x")
    assert rollback["summary"].startswith("Serving v1 since ")
    assert rollback["url"] == "https://models.example.org/ui"
    assert (held["version"], held["reason"]) == ("v2", "VersionHeld")
    assert held["next"] == "modeld unhold v2"
    assert (refused["reason"], refused["version"]) == ("Invalid", None)


@pytest.mark.light
@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_receiver_by_https_is_told_if_its_certificate_is_trusted(
    repository: Server, inbox_by_https: tuple[Inbox, Path], is_trusted: bool
) -> None:
    inbox, certificate = inbox_by_https
    trust = {"SSL_CERT_FILE": str(certificate)} if is_trusted else {}
    repository.start(MODELD_NOTIFY_URL=inbox.url, **trust)
    repository.wait_until_live("v1")

    repository.write_state("active: [\n")

    if is_trusted:
        eventually(lambda: inbox.events() == ["refused"], "the refusal told")
    else:
        eventually(lambda: inbox.turned_away, "a client that does not trust it")
        assert inbox.events() == []


@pytest.mark.light
def test_an_earlier_wish_that_serves_is_told(repository: Server, inbox: Inbox) -> None:
    (repository.models / "v3").mkdir()
    (repository.models / "v3" / "model.onnx").write_bytes(b"no model")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "Add v3")
    repository.write_state("active: v3\n")
    repository.git("commit", "-qam", "Serve v3")

    repository.start(MODELD_NOTIFY_URL=inbox.url)
    eventually(inbox.events, "something told")

    assert inbox.events() == ["fallback"]
    assert "asks for v3" in inbox.bodies[0]["summary"]
