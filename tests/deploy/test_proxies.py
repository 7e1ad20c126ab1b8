"""The proxies of docs/production.md, as they stand there, in front of a real server."""

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from modeld.config import Settings
from tests.support.caddy import caddy
from tests.support.doors import Door
from tests.support.events import following_on
from tests.support.nginx import free_port, nginx
from tests.support.server import ROOT, Server, cared_for, eventually, make_server

pytestmark = pytest.mark.light

GUIDE = (ROOT / "docs" / "production.md").read_text()
NAME = "models.example.org"
TOKEN = "a-token-that-is-long-enough-to-be-one"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}
ROW = json.dumps({"features": [6.3, 2.8, 5.1, 1.5]})
MAX_BODY = 16 << 20
LONGEST_WAIT = 600
PROXIES = ("nginx", "caddy")


def snippet(language: str) -> str:
    """Take a configuration out of the guide."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return str(text)


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Put in what is another here; everything that is to be replaced must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx_as_shown(backend: int, folder: Path) -> Iterator[Door]:
    door = Door(NAME, free_port(), free_port())
    folder.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", f"/CN={NAME}", "-keyout", "privkey.pem", "-out", "fullchain.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    http = replaced(
        snippet("nginx"),
        (f"/etc/letsencrypt/live/{NAME}", str(folder)),
        ("listen 443 ", f"listen 127.0.0.1:{door.port} "),
        ("listen 80;", f"listen 127.0.0.1:{door.plain_port};"),
        ("127.0.0.1:8000", f"127.0.0.1:{backend}"),
    )
    with nginx(folder / "nginx", http, door.port):
        yield door


@contextmanager
def caddy_as_shown(backend: int, folder: Path) -> Iterator[Door]:
    door = Door(NAME, free_port(), free_port())
    sites = replaced(snippet("caddyfile"), ("127.0.0.1:8000", f"127.0.0.1:{backend}"))
    with caddy(folder, sites, door.port, door.plain_port):
        yield door


SHOWN = {"nginx": nginx_as_shown, "caddy": caddy_as_shown}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings of the guide."""
    folder = tmp_path_factory.mktemp("behind") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start(MODELD_PUBLIC_URL=f"https://{NAME}", MODELD_ADMIN_TOKEN=TOKEN)
        eventually(lambda: server.call("POST", "/predict", ROW).status == 200, "a prediction")
        yield server


@pytest.fixture(scope="module", params=PROXIES)
def door(
    behind: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The way in through a proxy."""
    with SHOWN[request.param](behind.port, tmp_path_factory.mktemp("door") / "proxy") as door:
        eventually(lambda: door.call("GET", "/healthz").status == 200, "an answer")
        yield door


def test_predictions_and_health_pass(door: Door) -> None:
    answer = door.call("POST", "/predict?proba=false", ROW, {"X-Request-Id": "through"})

    assert answer.json["model_version"] == "v1"
    assert answer.headers["X-Model-Version"] == "v1"
    assert answer.headers["X-Request-Id"] == "through"
    for path in ("/healthz", "/readyz", "/metrics", "/badge.svg", "/ui"):
        assert door.call("GET", path).status == 200, path


def test_without_tls_a_client_is_led_to_it(door: Door) -> None:
    server = Server(Path())
    server.port = door.plain_port

    answer = server.call("GET", "/predict", headers={"Host": NAME})

    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"https://{NAME}/predict"


def test_the_admin_api_needs_the_token_from_everybody(door: Door, behind: Server) -> None:
    routes = behind.get("/").json["routes"]
    paths = [path for path in routes if path.startswith("/admin")]

    assert len(paths) > 5
    for path in paths:
        for way in (door, behind):
            assert way.call("GET", path).status == 401, path
            assert way.call("POST", path, "{}", JSON).status == 401, path
    assert door.call("GET", "/admin/status", headers=WITH_TOKEN).status == 200


def test_the_page_may_switch_under_its_public_name_alone(door: Door) -> None:
    headers = JSON | WITH_TOKEN
    for version, origin, status in (
        *(("v2", f"https://{NAME}", 200), ("v1", f"https://{NAME}", 200)),
        ("v2", "https://example.org", 403),
    ):
        body = json.dumps({"version": version})
        answer = door.call("POST", "/admin/set-active-version", body, headers | {"Origin": origin})
        assert answer.status == status, answer.body


def test_the_longest_body_is_as_long_as_ours(door: Door, behind: Server) -> None:
    for length, refused in ((MAX_BODY, False), (MAX_BODY + 1, True)):
        body = ROW.ljust(length).encode()
        for way in (door, behind):
            answer = way.call("POST", "/predict", body)
            assert answer.status == (413 if refused else 200), (way, length, answer.body[:200])


def test_events_are_not_held_back(door: Door, behind: Server) -> None:
    connection = door.connect()
    with following_on(connection, WITH_TOKEN) as events:
        events.until("status")
        behind.write_state("active: v2\n")
        events.until("status", lambda status: status["models"]["default"]["active"] == "v2")
        events.until("traffic")
        behind.write_state("active: v1\n")
        events.until("status", lambda status: status["models"]["default"]["active"] == "v1")
    connection.close()


def test_requests_share_connections_to_the_server(door: Door, behind: Server) -> None:
    before = sockets_at(behind.port)

    for _ in range(30):
        assert door.call("POST", "/predict", ROW).status == 200

    assert len(sockets_at(behind.port) - before) < 5


def sockets_at(port: int) -> set[int]:
    """Name the ports of all who are, or were a moment ago, connected to one.

    A connection stays for a minute on the side that closed it.
    """
    found = psutil.net_connections("tcp4")
    pairs = [(getattr(each.laddr, "port", 0), getattr(each.raddr, "port", 0)) for each in found]
    return {a for a, b in pairs if b == port} | {b for a, b in pairs if a == port} - {0}


def test_a_wait_ends_by_our_own_limit(door: Door) -> None:
    target = f"/admin/wait?blob={'0' * 40}&timeout=1"

    answer = door.call("GET", target, headers=WITH_TOKEN)

    assert (answer.status, answer.json["code"]) == (504, "wait_timeout")


def test_nginx_waits_longer_and_keeps_connections_shorter_than_the_server() -> None:
    text = snippet("nginx")
    (read,) = re.findall(r"proxy_read_timeout (\d+)s;", text)
    (keeps,) = re.findall(r"\bkeepalive_timeout (\d+)s;", text)
    settings = Settings.model_construct()

    assert int(read) > LONGEST_WAIT
    assert int(read) > settings.load_timeout + settings.request_timeout
    assert int(keeps) < settings.keepalive


def test_caddy_waits_for_ever_and_keeps_connections_shorter_than_the_server() -> None:
    """It has no limit of its own where none is written."""
    text = snippet("caddyfile")
    (keeps,) = re.findall(r"\bkeepalive (\d+)s\n", text)

    assert "timeout" not in text
    assert int(keeps) < Settings.model_construct().keepalive


# Who is asking


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that came."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("name", PROXIES)
def test_the_server_is_told_who_asks_and_not_what_they_claim(name: str, tmp_path: Path) -> None:
    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    with ExitStack() as stack:
        stack.callback(echo.server_close)
        threading.Thread(target=echo.serve_forever).start()
        stack.callback(echo.shutdown)
        door = stack.enter_context(SHOWN[name](echo.server_port, tmp_path / "proxy"))
        given = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "gopher"}
        eventually(lambda: door.call("GET", "/").status == 200, "an answer")

        seen = door.call("GET", "/", headers=given).json

    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["host"] == NAME


# Upgrading


@pytest.mark.parametrize("name", PROXIES)
def test_an_upgrade_behind_a_proxy_fails_no_request(name: str, tmp_path: Path) -> None:
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        server.start().wait_until_live("v1")
        with SHOWN[name](server.port, tmp_path / "proxy") as door:
            eventually(lambda: door.call("GET", "/healthz").status == 200, "an answer")
            has_ended = threading.Event()
            with ThreadPoolExecutor(4) as pool:
                clients = [pool.submit(ask_until, has_ended, door) for _ in range(4)]
                try:
                    for _ in range(3):
                        before = server.process
                        assert before is not None
                        server.launch("--replace")
                        assert before.wait(30) == 0
                        server.wait_until_up()
                finally:
                    has_ended.set()
                statuses = [status for client in clients for status in client.result()]

    assert len(statuses) > 100
    assert set(statuses) == {200}


def ask_until(has_ended: threading.Event, door: Door) -> list[int]:
    """Ask for predictions on one connection; gives the statuses."""
    statuses = []
    connection = door.connect()
    while not has_ended.is_set():
        connection.request("POST", "/predict", ROW)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    return statuses
