"""Nobody but who may reaches the admin API: proxies, pages of other sites, wrong tokens."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import nginx_before
from tests.support.raw import connected, request
from tests.support.server import Answer, Server, cared_for, eventually, make_server

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
TOKEN = "a-token-that-is-long-enough-to-be-one"
JSON = {"Content-Type": "application/json"}
PUBLIC = {"/", "/predict", "/healthz", "/readyz", "/metrics", "/badge.svg", "/ui"}
DISGUISES = [
    *("/%61dmin/status", "//admin/status", "/predict/../admin/status", "/admin%2Fstatus"),
    *("/admin/./status", "/ADMIN/status", "/admin/status/", "/admin;/status", "/admin/status?x"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as it comes, for tests that do not close its admin API."""
    with cared_for(make_server(tmp_path_factory.mktemp("access") / "repository")) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a token."""
    with cared_for(make_server(tmp_path_factory.mktemp("token") / "repository")) as server:
        server.start(MODELD_ADMIN_TOKEN=TOKEN)
        eventually(lambda: server.predict(ROW).status == 200, "a prediction")
        yield server
        for pid in server.family()[1:]:
            assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert TOKEN not in server.log.read_text()


def serves(server: Server) -> None:
    """Wait until it predicts; the status may be out of reach."""
    eventually(lambda: server.predict(ROW).status == 200, "a prediction")


def admin_paths(server: Server) -> list[str]:
    """List every route that is not public, as the server itself lists them."""
    routes = server.get("/").json["routes"]
    paths = [path for path in routes if path.startswith("/admin")]
    assert {"/admin/status", "/admin/set-active-version", "/admin/rollback"} <= set(paths)
    assert set(routes) - set(paths) == PUBLIC
    return [path + "1" if path.endswith("/") else path for path in paths]


def check_all_refused(server: Server, port: int, status: int) -> None:
    """Ask for every admin route by every method, on the given port."""
    before = server.state.read_bytes()
    door = Server(server.folder)
    door.port = port
    for path in [*admin_paths(server), *DISGUISES]:
        for method in METHODS:
            answer = door.call(method, path, json.dumps({"version": "v2"}), JSON)
            assert answer.status in (status, 404), (method, path, answer.body)
            if path not in DISGUISES:
                assert answer.status == status, (method, path, answer.body)
    assert server.state.read_bytes() == before


def refused(answer: Answer, status: int, code: str) -> bool:
    """An error has its status, its code and its shape."""
    assert (answer.status, answer.json.get("code")) == (status, code), answer.body
    assert set(answer.json) == {"error", "code", "request_id"}
    return True


# Behind a proxy


def test_no_admin_route_is_reachable_through_a_bare_nginx(running: Server, tmp_path: Path) -> None:
    with nginx_before(running.port, tmp_path / "nginx") as port:
        check_all_refused(running, port, 403)

    assert running.live() == "v1"  # the way that is not through it is still open


if os.getuid() == 0:  # only then does nginx run as a user of its own

    def test_no_admin_route_is_reachable_through_an_nginx_that_speaks_http_1_1(
        running: Server, tmp_path: Path
    ) -> None:
        """The default of newer releases: no header tells of the proxy."""
        with nginx_before(running.port, tmp_path / "nginx", "proxy_http_version 1.1;") as port:
            check_all_refused(running, port, 403)

        assert running.live() == "v1"


def test_predictions_work_through_a_bare_nginx(running: Server, tmp_path: Path) -> None:
    with nginx_before(running.port, tmp_path / "nginx") as port:
        door = Server(running.folder)
        door.port = port
        for _ in range(20):
            answer = door.call("POST", "/predict", json.dumps(ROW), {"X-Request-Id": "through"})
            assert answer.json == {"prediction": 1, "model_version": "v1"}
            assert answer.headers["X-Request-Id"] == "through"
        assert door.get("/healthz").status == door.get("/readyz").status == 200
        assert b"model_version_active" in door.get("/metrics").body


FORWARDING_NGINX = """
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
"""


def test_a_proxy_that_forwards_closes_admin_for_good(repository: Server, tmp_path: Path) -> None:
    repository.start()
    repository.wait_until_live("v1")

    with nginx_before(repository.port, tmp_path / "nginx", FORWARDING_NGINX) as port:
        check_all_refused(repository, port, 403)
        door = Server(repository.folder)
        door.port = port
        assert door.predict(ROW).status == 200

    assert refused(repository.get("/admin/status"), 403, "forbidden")
    assert "MODELD_ADMIN_TOKEN" in repository.get("/admin/status").json["error"]
    assert repository.command("set", "v2").returncode == 0
    assert repository.predict(ROW).json["model_version"] == "v2"


@pytest.mark.parametrize(
    "name",
    [
        *("Forwarded", "Via", "X-Real-IP"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"),
    ],
)
def test_one_forwarded_request_closes_admin(repository: Server, name: str) -> None:
    repository.start(MODELD_WORKERS="1")
    assert repository.get("/admin/status").status == 200

    assert refused(repository.get("/admin/status", **{name: "x"}), 403, "forbidden")
    assert refused(repository.get("/admin/status"), 403, "forbidden")


# On this machine


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LocalHost"])
def test_this_machine_has_these_names(running: Server, host: str) -> None:
    answer = running.get("/admin/status", Host=f"{host}:{running.port}")

    assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:1", "attacker.example:{port}", "127.0.0.1.nip.io:{port}"),
        *("localhost.:{port}", "0.0.0.0:{port}", "127.0.0.2:{port}", "localhost:{port}@evil", "x"),
    ],
)
def test_another_name_is_another_site(running: Server, host: str) -> None:
    answer = running.get("/admin/status", Host=host.format(port=running.port))

    assert refused(answer, 403, "host_not_allowed")


@pytest.mark.parametrize("origin", ["http://localhost:{port}", "http://127.0.0.1:{port}"])
def test_our_own_page_may_ask(running: Server, origin: str) -> None:
    own = origin.format(port=running.port)

    assert running.get("/admin/status", Origin=own).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://attacker.example", "null", "https://localhost:{port}", "http://localhost:1", ""),
        *("http://localhost:{port}.attacker.example", "file://", "http://localhost:{port}/"),
    ],
)
@pytest.mark.parametrize("path", ["status", "set-active-version"])
def test_a_page_of_another_site_may_not(running: Server, path: str, origin: str) -> None:
    given = {"Origin": origin.format(port=running.port)}
    method = "GET" if path == "status" else "POST"

    answer = running.call(method, f"/admin/{path}", '{"version": "v2"}', JSON | given)

    assert refused(answer, 403, "cross_site")


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("x", 403)],
)
def test_a_browser_says_where_a_request_comes_from(running: Server, site: str, status: int) -> None:
    answer = running.get("/admin/status", **{"Sec-Fetch-Site": site})

    assert answer.status == status
    assert status == 200 or refused(answer, 403, "cross_site")


def test_a_form_of_another_site_changes_nothing(running: Server) -> None:
    """A form can send JSON as text/plain, without asking first."""
    before = running.state.read_bytes()

    answer = running.call(
        "POST", "/admin/set-active-version", '{"version": "v2"}', {"Content-Type": "text/plain"}
    )

    assert refused(answer, 415, "unsupported_media_type")
    assert running.state.read_bytes() == before


def test_no_answer_invites_another_site(running: Server) -> None:
    headers = {"Origin": "http://attacker.example", "Access-Control-Request-Method": "POST"}

    for path in ("/admin/set-active-version", "/predict", "/admin/status"):
        answer = running.call("OPTIONS", path, headers=headers)
        assert answer.status in (403, 405)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_an_old_http_is_not_a_local_caller(running: Server) -> None:
    """A bare `proxy_pass` of nginx before 1.29 speaks HTTP/1.0, and nothing else tells of it."""
    data = request(
        None, method="GET", target="/admin/status", host=f"localhost:{running.port}"
    ).replace(b"HTTP/1.1", b"HTTP/1.0")

    with connected(running.port) as connection:
        connection.send(data)
        assert refused(connection.answer(), 403, "forbidden")


def test_the_control_socket_is_for_this_user_alone(running: Server) -> None:
    content = json.loads((running.runtime / "server.json").read_text())

    assert Path(content["socket"]).stat().st_mode & 0o777 == 0o600


# With a token


@pytest.mark.parametrize(
    "given",
    [
        *("", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer nothing", f"Bearer {TOKEN}x"),
        *(f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", "Bearer é", "Bearer " + "x" * 5000),
    ],
    ids=lambda given: given[:20],
)
def test_a_wrong_token_is_refused(guarded: Server, given: str) -> None:
    answer = guarded.get("/admin/status", Authorization=given)

    assert refused(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/admin/status", {}),
        (f"/admin/status?token={TOKEN}", {}),
        ("/admin/status", {"Cookie": f"token={TOKEN}"}),
        ("/admin/status", {"X-Api-Key": TOKEN}),
    ],
)
def test_a_token_elsewhere_is_none(guarded: Server, target: str, headers: dict[str, str]) -> None:
    assert refused(guarded.get(target, **headers), 401, "unauthorized")


def test_two_tokens_are_one_too_many(guarded: Server) -> None:
    fields = ("Authorization: Bearer nothing", f"Authorization: Bearer {TOKEN}")
    for given in (fields, fields[::-1]):
        data = request(None, *given, method="GET", target="/admin/status")
        with connected(guarded.port) as connection:
            connection.send(data)
            assert connection.answer().status in (400, 401)


def test_without_the_token_every_admin_route_is_closed(guarded: Server) -> None:
    check_all_refused(guarded, guarded.port, 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens(guarded: Server, scheme: str) -> None:
    answer = guarded.get(
        "/admin/status", Authorization=f"{scheme} {TOKEN}", Host="models.example.org"
    )

    assert answer.status == 200


def test_the_token_opens_through_a_proxy(guarded: Server, tmp_path: Path) -> None:
    with nginx_before(guarded.port, tmp_path / "nginx", FORWARDING_NGINX) as port:
        door = Server(guarded.folder)
        door.port = port
        answer = door.get("/admin/status", Authorization=f"Bearer {TOKEN}")

    assert answer.status == 200


def test_a_page_of_another_site_may_not_even_with_the_token(guarded: Server) -> None:
    answer = guarded.get(
        "/admin/status", Authorization=f"Bearer {TOKEN}", Origin="http://attacker.example"
    )

    assert refused(answer, 403, "cross_site")


def test_predictions_and_health_need_no_token(guarded: Server) -> None:
    assert guarded.predict(ROW).status == 200
    assert [guarded.get(path).status for path in ("/", "/healthz", "/readyz", "/metrics")] == [
        200
    ] * 4


def test_commands_need_no_token(guarded: Server) -> None:
    done = guarded.command("status")

    assert (done.returncode, done.stdout.split(" since")[0]) == (0, "Serving v1")


def test_a_token_may_stand_in_a_file(repository: Server) -> None:
    path = repository.folder / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)

    repository.start(MODELD_ADMIN_TOKEN_FILE=str(path))

    assert refused(repository.get("/admin/status"), 401, "unauthorized")
    assert repository.get("/admin/status", Authorization=f"Bearer {TOKEN}").status == 200


# A token of the server's own making


def check_own_token(server: Server) -> str:
    """A token was made, is kept well, and is needed; gives it."""
    path = server.runtime / "admin-token"
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert server.runtime.stat().st_mode & 0o077 == 0
    assert re.fullmatch(r"[\w-]{40,}", token)
    log = server.log.read_text()
    assert str(path) in log
    assert token not in log
    assert refused(server.get("/admin/status"), 401, "unauthorized")
    assert server.get("/admin/status", Authorization=f"Bearer {token}").status == 200
    assert server.command("versions").returncode == 0
    return token


def test_a_server_for_everybody_makes_a_token(repository: Server) -> None:
    repository.start("--host", "0.0.0.0")  # noqa: S104 - it is what is tested
    serves(repository)
    token = check_own_token(repository)
    check_all_refused(repository, repository.port, 401)

    assert repository.stop() == 0
    repository.start("--host", "0.0.0.0")  # noqa: S104 - it is what is tested
    assert check_own_token(repository) == token


def test_a_server_behind_a_proxy_makes_a_token(repository: Server) -> None:
    repository.start(MODELD_PUBLIC_URL="https://models.example.org")
    token = check_own_token(repository)

    for origin, status in (("https://models.example.org", 200), ("https://example.org", 403)):
        headers = {"Authorization": f"Bearer {token}", "Origin": origin}
        assert repository.get("/admin/status", **headers).status == status


@pytest.mark.native
def test_a_server_for_everybody_serves_only_what_the_wish_names(repository: Server) -> None:
    repository.write_state("active: v1\nalso: [v2]\n")
    repository.start("--host", "0.0.0.0", MODELD_VERSIONS="auto")  # noqa: S104 - as above
    serves(repository)
    (repository.models / "v3").mkdir()
    (repository.models / "v3" / "model.pkl").write_bytes(
        (repository.models / "v1" / "model.pkl").read_bytes()
    )

    assert repository.predict(ROW, "?version=v2").json["model_version"] == "v2"
    answer = repository.predict(ROW, "?version=v3")
    assert (answer.status, answer.json["code"]) == (404, "version_not_found")
