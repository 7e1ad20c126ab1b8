"""Change what is live by a call, see what is wanted and what runs, and be refused clearly."""

import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.raw import connected, request
from tests.support.server import Answer, Server, cared_for, eventually, make_server
from tests.support.versions import (
    write_model,
    write_regression,
    write_samples,
    write_slow,
)

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
SET = "/admin/set-active-version"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that change nothing, or put things back."""
    with cared_for(make_server(tmp_path_factory.mktemp("admin") / "repository")) as server:
        write_regression(server.models / "churn" / "c1")
        write_regression(server.models / "churn" / "c2")
        write_samples(write_model(server.models / "wrong"), [[1, 2]], [4])
        server.add_version("empty")
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.fixture
def untouched(running: Server) -> Iterator[Server]:
    """The shared server, for tests after which everything must be as before."""
    before = running.state.read_bytes(), running.state.stat().st_mtime_ns, running.live()
    yield running
    assert (running.state.read_bytes(), running.state.stat().st_mtime_ns, running.live()) == before


@pytest.fixture
def at_v1(running: Server) -> Server:
    """The shared server with v1 live, and v1 as what was live before every other version."""
    apply(running, "active: v1\n")
    return running


def apply(server: Server, text: str) -> str:
    """Write the file by hand and wait until it is applied; gives its blob."""
    blob = server.write_state(text)
    eventually(lambda: is_applied(server, blob), f"{text!r} applied")
    return blob


def is_applied(server: Server, blob: str) -> bool:
    status = server.status()
    return bool(status["desired"]["blob"] == status["live"]["blob"] == blob)


def check_error(answer: Answer, status: int, code: str) -> str:
    """An error has its status, its code and its shape; gives the message."""
    assert (answer.status, answer.json.get("code")) == (status, code), answer.body
    told = {"summary", "next"} & set(answer.json)
    assert set(answer.json) - told - {"known"} == {"error", "code", "request_id"}
    if status in (409, 412):
        assert told == {"summary", "next"}
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    message = answer.json["error"]
    assert isinstance(message, str)
    assert "Traceback" not in message
    return message


# Setting a version


def test_a_set_says_what_it_did(at_v1: Server) -> None:
    before = at_v1.status()["generation"]

    answer = at_v1.admin("set-active-version", {"version": "v2", "reason": "why", "actor": "me"})

    assert answer.status == 200
    content = answer.json
    assert re.fullmatch("sha256:[0-9a-f]{64}", content.pop("digest"))
    assert content == {
        "model": "default",
        "previous": "v1",
        "active": "v2",
        "generation": before + 1,
        "blob": at_v1.blob(),
        "written": True,
        "unchanged": False,
        "message": "the file is changed and not committed; a deploy of the same commit undoes it",
        "hold": None,
        "git": {
            "mode": "never",
            "state": "Never",
            "pending": 0,
            "commit": None,
            "branch": None,
            "message": "",
            "retry_at": None,
        },
        "instance": at_v1.status()["instance"],
        "scope": "instance",
    }
    assert answer.headers["ETag"] == f'"{at_v1.blob()}"'
    assert at_v1.predict(ROW).json == {"prediction": 2, "model_version": "v2"}


def test_after_a_set_the_status_agrees(at_v1: Server) -> None:
    content = at_v1.admin("set-active-version", {"version": "v2"}).json

    status = at_v1.status()

    assert status["sync"] == {"status": "OutOfSync", "reason": "Uncommitted", "message": ""}
    assert status["summary"].endswith("state/active.yaml is not committed.")
    assert status["next"] == "git commit -m 'Say why' -- state/active.yaml"
    assert {status[f"{name}_generation"] for name in ("observed", "attempted", "applied")} == {
        content["generation"]
    }
    assert status["desired"]["blob"] == status["live"]["blob"] == content["blob"]
    assert status["models"]["default"]["active"] == "v2"
    assert status["models"]["default"]["desired"] == "v2"
    assert status["models"]["default"]["rollback_target"] == "v1"


def test_a_set_keeps_everything_else_in_the_file(at_v1: Server) -> None:
    text = "# who: ops\nnote: 'keep'  # this\nactive:   \"v1\"   # live\n\nx-team: a\n# end"
    apply(at_v1, text + "\n")

    assert at_v1.admin("set-active-version", {"version": "v2"}).status == 200

    assert at_v1.state.read_text() == text.replace('"v1"', '"v2"') + "\n"


def test_a_set_to_what_is_live_changes_nothing(untouched: Server) -> None:
    live = untouched.live()

    answer = untouched.admin("set-active-version", {"version": live})

    assert answer.status == 200
    assert answer.json["unchanged"] is True
    assert answer.json["written"] is False
    assert answer.json["active"] == answer.json["previous"] == live


def test_a_dry_run_proves_and_changes_nothing(at_v1: Server, untouched: Server) -> None:
    content = {"version": "v2", "dry_run": True}

    answer = untouched.admin("set-active-version", content)

    assert answer.status == 200
    assert answer.json["dry_run"] is True
    assert answer.json["written"] is False
    assert answer.json["digest"] != untouched.status()["models"]["default"]["loaded"][0]["digest"]


def test_a_dry_run_of_a_bad_version_is_refused(untouched: Server) -> None:
    answer = untouched.admin("set-active-version", {"version": "wrong", "dry_run": True})

    assert "golden sample 1 of 1: expected 4" in check_error(answer, 422, "samples_differ")


def test_a_model_may_be_named(at_v1: Server) -> None:
    answer = at_v1.admin("set-active-version", {"version": "c1", "model": "churn"})

    assert answer.status == 200
    assert answer.json["previous"] is None
    assert at_v1.live() == "v1"
    assert at_v1.predict({"features": [1, 1]}, "?model=churn").json["model_version"] == "c1"
    assert at_v1.admin("set-active-version", {"version": "c2", "model": "churn"}).status == 200
    assert at_v1.state.read_text() == "active: v1\nmodels: {churn: {active: c2}}\n"
    assert at_v1.status()["models"]["churn"]["rollback_target"] == "c1"


# Not waiting


def test_a_caller_need_not_wait(at_v1: Server) -> None:
    answer = at_v1.admin("set-active-version", {"version": "v2", "wait": False})

    assert answer.status == 202
    assert answer.headers["Location"] == answer.json["url"]
    assert answer.json["id"]
    operation = eventually(
        lambda: (found := at_v1.get(answer.json["url"]).json)["status"] != "running" and found,
        "the operation done",
    )
    assert operation["status"] == "done"
    assert operation["result"]["active"] == "v2"
    assert at_v1.live() == "v2"


def test_an_operation_that_fails_says_why(untouched: Server) -> None:
    answer = untouched.admin("set-active-version", {"version": "v9", "wait": False})

    assert answer.status == 202
    operation = eventually(
        lambda: (found := untouched.get(answer.json["url"]).json)["status"] != "running" and found,
        "the operation done",
    )
    assert (operation["status"], operation["code"]) == ("failed", "version_not_found")
    assert "v9" in operation["error"]


def test_an_unknown_operation_is_a_404(running: Server) -> None:
    check_error(running.get("/admin/operations/none"), 404, "not_found")
    check_error(running.get("/admin/operations/"), 404, "not_found")


# Expectations


def test_if_match_guards_the_file(at_v1: Server) -> None:
    tag = at_v1.get("/admin/status").headers["ETag"]
    assert tag == f'"{at_v1.blob()}"'

    right = at_v1.admin("set-active-version", {"version": "v2"}, **{"If-Match": tag})
    late = at_v1.admin("set-active-version", {"version": "v1"}, **{"If-Match": tag})

    assert right.status == 200
    check_error(late, 412, "precondition_failed")
    assert at_v1.state.read_text() == "active: v2\n"


def test_expected_version_guards_what_is_live(untouched: Server) -> None:
    live = untouched.live()
    content = {"version": "v2", "expected_version": "v0"}

    message = check_error(untouched.admin("set-active-version", content), 409, "state_conflict")

    assert f"expected v0 to be live, found {live}" in message
    check_error(untouched.admin("rollback", {"expected_version": "v0"}), 409, "state_conflict")


def test_an_expectation_that_holds_is_no_obstacle(at_v1: Server) -> None:
    content = {"version": "v2", "expected_version": "v1"}

    assert at_v1.admin("set-active-version", content).status == 200


# Refusals


def test_an_unknown_version_is_answered_with_the_known_ones(untouched: Server) -> None:
    answer = untouched.admin("set-active-version", {"version": "v9"})

    assert "v9" in check_error(answer, 404, "version_not_found")
    assert {"v1", "v2"} <= set(answer.json["known"])


def test_an_unknown_model_is_answered_with_the_known_ones(untouched: Server) -> None:
    answer = untouched.admin("set-active-version", {"version": "v1", "model": "none"})

    check_error(answer, 404, "model_not_found")
    assert "churn" in answer.json["known"]


NAMES = [
    *("../x", "v1/../v2", "/etc", "v1\n", "v1\0", ".", "..", "", " v1", "v1 ", "%2e%2e", "v1;id"),
    *(
        "v" * 65,
        "😀",
        "-rf",
        ".hidden",
        "v1/",
        "v\u0131",
        "latest",
        "active",
        "previous",
        "default",
    ),
]


@pytest.mark.parametrize(
    ("key", "name"),
    # An empty target of a rollback is none: the one that was live before is meant.
    [(key, name) for key in ("version", "to") for name in NAMES if (key, name) != ("to", "")],
    ids=ascii,
)
def test_what_is_no_name_is_refused(untouched: Server, key: str, name: str) -> None:
    path = "set-active-version" if key == "version" else "rollback"

    check_error(untouched.admin(path, {key: name}), 422, "invalid_version_name")


@pytest.mark.parametrize("name", ["V1", "CON", "v1.", "v01", "0", "v" * 64])
def test_a_name_that_nothing_has_is_a_404(untouched: Server, name: str) -> None:
    answer = untouched.admin("set-active-version", {"version": name})

    check_error(answer, 404, "version_not_found")


@pytest.mark.parametrize("name", ["../x", "", "a/b", "-x"])
def test_what_is_no_model_name_is_refused(untouched: Server, name: str) -> None:
    answer = untouched.admin("set-active-version", {"version": "v1", "model": name})

    check_error(answer, 422, "invalid_version_name")


BAD: list[tuple[str, str | bytes, int, str]] = [
    ("a number", '{"version": 2}', 422, "wrong_type"),
    ("null", '{"version": null}', 422, "wrong_type"),
    ("a list", '{"version": ["v2"]}', 422, "wrong_type"),
    ("wait in words", '{"version": "v2", "wait": "no"}', 422, "wrong_type"),
    ("a number for a flag", '{"version": "v2", "dry_run": 1}', 422, "wrong_type"),
    ("a long reason", json.dumps({"version": "v2", "reason": "x" * 501}), 422, "wrong_type"),
    ("no version", "{}", 422, "missing_field"),
    ("no body", "", 422, "missing_field"),
    ("an unknown key", '{"version": "v2", "force": true}', 422, "unknown_field"),
    ("a misspelt key", '{"verison": "v2"}', 422, "unknown_field"),
    ("a key twice", '{"version": "v2", "version": "v1"}', 400, "duplicate_key"),
    ("no object", '["v2"]', 422, "wrong_type"),
    ("cut off", '{"version": "v2"', 400, "bad_json"),
    ("something after it", '{"version": "v2"} {}', 400, "bad_json"),
    ("not UTF-8", b'{"version": "\xff"}', 400, "bad_json"),
    ("UTF-16", '{"version": "v2"}'.encode("utf-16"), 400, "bad_json"),
    ("half a character", r'{"version": "v2", "reason": "\ud800"}', 400, "bad_json"),
    ("half a key", r'{"\ud800": 1}', 400, "bad_json"),
    ("deep", "[" * 100_000, 400, "bad_json"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_bad_body_is_refused(
    untouched: Server, body: str | bytes, status: int, code: str
) -> None:
    check_error(untouched.call("POST", SET, body, JSON), status, code)


def test_a_misspelt_key_is_answered_with_the_right_one(untouched: Server) -> None:
    message = check_error(
        untouched.admin("set-active-version", {"verison": "v2"}), 422, "unknown_field"
    )

    assert 'did you mean "version"?' in message


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
@pytest.mark.parametrize("path", ["set-active-version", "rollback"])
def test_only_json_may_change_anything(untouched: Server, path: str, kind: str | None) -> None:
    """Another site's form can send anything but `application/json`."""
    headers = {"Content-Type": kind} if kind else {}

    answer = untouched.call("POST", f"/admin/{path}", '{"version": "v2"}', headers)

    check_error(answer, 415, "unsupported_media_type")


def test_json_may_say_its_charset(untouched: Server) -> None:
    body, kind = json.dumps({"version": untouched.live()}), "application/json; charset=utf-8"

    assert untouched.call("POST", SET, body, {"Content-Type": kind}).status == 200


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("set-active-version", "GET", "POST"),
        ("rollback", "PUT", "POST"),
        ("status", "POST", "GET"),
        ("versions", "DELETE", "GET"),
        ("wait", "POST", "GET"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_one(
    untouched: Server, path: str, method: str, allowed: str
) -> None:
    answer = untouched.call(method, f"/admin/{path}", "{}", JSON)

    check_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "target",
    ["/admin", "/admin/", "/admin/none", "/admin/status/", "/admin//status", "/%61dmin/status"],
)
def test_an_unknown_path_is_a_404(untouched: Server, target: str) -> None:
    check_error(untouched.get(target), 404, "not_found")


def test_strange_bytes_in_headers_are_refused_and_no_more(untouched: Server) -> None:
    host = f"localhost:{untouched.port}"
    data = request({"version": "v2"}, "Content-Type: application/json", "If-Match: \xff",
                   target=SET, host=host)  # fmt: skip

    with connected(untouched.port) as connection:
        connection.send(data)
        check_error(connection.answer(), 412, "precondition_failed")


def test_a_version_that_fails_is_refused_and_leaves_the_file_alone(untouched: Server) -> None:
    check_error(untouched.admin("set-active-version", {"version": "wrong"}), 422, "samples_differ")
    answer = untouched.admin("set-active-version", {"version": "empty"})

    assert (answer.status, answer.json["code"]) in [
        (422, "artifact_not_ready"),
        (422, "unknown_format"),
        (404, "version_not_found"),
    ]


# Going back


def test_a_rollback_goes_back_once(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})

    first = server.admin("rollback", {"reason": "p99"})
    second = server.admin("rollback", {})

    assert (first.status, first.json["previous"], first.json["active"]) == (200, "v2", "v1")
    assert first.json["unchanged"] is False
    assert first.json["blob"] == server.blob()
    assert (second.status, second.json["active"], second.json["unchanged"]) == (200, "v1", True)
    assert second.json["message"]
    assert server.state.read_text() == "active: v1\n"
    assert server.status()["models"]["default"]["rollback_target"] is None


def test_a_rollback_never_returns_to_what_a_rollback_left(server: Server) -> None:
    write_regression(server.models / "v3")
    for version in ("v2", "v3"):
        server.admin("set-active-version", {"version": version})

    assert server.admin("rollback", {}).json["active"] == "v2"
    again = server.admin("rollback", {}).json
    assert (again["active"], again["unchanged"], again["further_back"]) == ("v2", True, "v1")
    assert "modeld rollback --to v1" in again["message"]
    assert server.admin("rollback", {"to": "v1"}).json["active"] == "v1"
    assert server.admin("rollback", {}).json["unchanged"] is True


def test_after_a_step_forward_a_rollback_goes_back_again(server: Server) -> None:
    for version in ("v2", "v1", "v2"):
        server.write_state(f"active: {version}\n")
        server.wait_until_live(version)

    assert server.admin("rollback", {}).json["active"] == "v1"
    server.admin("set-active-version", {"version": "v2"})
    assert server.admin("rollback", {}).json["active"] == "v1"


def test_a_rollback_knows_what_was_live_before_a_restart(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})
    assert server.stop() == 0
    server.start()
    server.wait_until_live("v2")

    assert server.admin("rollback", {}).json["active"] == "v1"


def test_with_nothing_before_a_rollback_is_refused(server: Server) -> None:
    answer = server.admin("rollback", {})

    assert "there is no earlier version than v1 to go back to" in check_error(
        answer, 404, "version_not_found"
    )
    assert server.live() == "v1"


def test_a_rollback_may_be_tried_first(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})

    answer = server.admin("rollback", {"dry_run": True})

    assert (answer.status, answer.json["active"], answer.json["dry_run"]) == (200, "v1", True)
    assert server.live() == "v2"
    assert server.state.read_text() == "active: v2\n"


def test_a_rollback_mends_a_broken_file(server: Server) -> None:
    """The emergency call must work in the emergency: nothing of the bad text may stop it."""
    server.write_state("active: v2\nnote: two\n")
    server.wait_until_live("v2")
    server.write_state("active: [v2\n<<<<<<< HEAD\n")
    eventually(lambda: server.status()["sync"]["status"] == "Invalid", "the refusal")

    assert server.admin("rollback", {}).json["active"] == "v1"

    assert server.state.read_text() == "active: v1\nnote: two\n"
    assert server.is_settled()


@pytest.mark.parametrize("text", [None, "", "# nothing\n"])
def test_a_set_makes_the_file_that_is_missing_or_empty(server: Server, text: str | None) -> None:
    if text is None:
        server.state.unlink()
    else:
        server.state.write_text(text)

    answer = server.admin("set-active-version", {"version": "v2"})

    assert answer.status == 200, answer.body
    assert "active: v2\n" in server.state.read_text()
    eventually(server.is_settled, "all well")
    assert server.live() == "v2"


# Looking


def test_the_status_says_what_is_wanted_and_what_runs(at_v1: Server) -> None:
    status = at_v1.status()

    assert re.fullmatch(r"Serving v1 since \d\d:\d\d\.", status["summary"])
    assert status["next"] == ""
    assert status["sync"] == {"status": "Synced", "reason": "Applied", "message": ""}
    assert status["health"] == {"status": "Healthy", "reason": "Serving"}
    assert status["holds"] == []
    assert status["last_refused"] is None
    default = status["models"]["default"]
    assert (default["desired"], default["active"]) == ("v1", "v1")
    assert default["loaded"][0]["runtime"] == "native"


def test_the_status_says_what_is_wrong_and_what_to_do(at_v1: Server) -> None:
    blob = at_v1.write_state("active: v1\nnote: x\nactve: v2\n")
    eventually(lambda: at_v1.status()["last_refused"], "the refusal")

    status = at_v1.status()

    assert status["sync"]["status"] == "Invalid"
    assert status["health"]["status"] == "Degraded"
    assert (status["last_refused"]["blob"], status["last_refused"]["line"]) == (blob, 3)
    assert "line 3" in status["summary"]
    assert status["summary"].startswith("Serving v1 since")
    assert "state/active.yaml" in status["next"]
    eventually(lambda: at_v1.get("/healthz").json["status"] == "degraded", "degraded health")
    assert at_v1.get("/healthz").json["summary"] == status["summary"]
    assert at_v1.get("/readyz").status == 200


def test_versions_lists_everything_and_says_what_is_wrong_with_it(at_v1: Server) -> None:
    at_v1.admin("set-active-version", {"version": "v2", "dry_run": True})

    models = at_v1.get("/admin/versions").json["models"]

    assert set(models) == {"default", "churn"}
    assert models["default"]["active"] == "v1"
    found = {each["version"]: each for each in models["default"]["versions"]}
    assert list(found)[-3:] == ["v1", "v2", "wrong"]
    assert found["v1"]["state"] == "live"
    assert found["v2"]["format"] == "pickle"
    assert found["empty"]["state"] == "unusable"
    assert found["empty"]["error"]
    assert all(
        each["digest"].startswith("sha256:") for each in found.values() if "error" not in each
    )
    assert [each["version"] for each in models["churn"]["versions"]] == ["c1", "c2"]


# Waiting


def wait(server: Server, blob: str, timeout: float = 30) -> Answer:
    return server.get(f"/admin/wait?blob={blob}&timeout={timeout}")


def test_waiting_for_what_is_applied_returns_at_once(at_v1: Server) -> None:
    answer = wait(at_v1, at_v1.blob(), 0)

    assert answer.status == 200
    assert answer.json["summary"] == at_v1.status()["summary"]


def test_waiting_sees_a_change_through(at_v1: Server) -> None:
    answer = wait(at_v1, at_v1.write_state("active: v2\n"))

    assert answer.status == 200
    assert answer.json["models"]["default"]["active"] == "v2"
    assert at_v1.live() == "v2"


@pytest.mark.parametrize(
    ("text", "part"), [("active: [\n", "line"), ("active: wrong\n", "golden sample 1 of 1")]
)
def test_waiting_for_what_is_refused_says_why(at_v1: Server, text: str, part: str) -> None:
    answer = wait(at_v1, at_v1.write_state(text))

    assert part in check_error(answer, 409, "refused")


def test_waiting_has_an_end(untouched: Server) -> None:
    check_error(wait(untouched, "0" * 40, 0.2), 504, "wait_timeout")
    check_error(untouched.get("/admin/wait"), 422, "invalid_parameter")
    for timeout in ("-1", "soon", "601", "nan", "inf"):
        answer = untouched.get(f"/admin/wait?blob=x&timeout={timeout}")
        check_error(answer, 422, "invalid_parameter")


def test_waiting_ends_when_a_newer_wish_overtakes(at_v1: Server) -> None:
    write_slow(at_v1.models / "slow", 30)
    blob = at_v1.write_state("active: slow\n")
    eventually(lambda: at_v1.status()["desired"]["blob"] == blob, "the wish seen")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait, at_v1, blob)
        eventually(lambda: at_v1.status()["sync"]["status"] == "Progressing", "the load begun")
        at_v1.write_state("active: v2\n")
        check_error(waiting.result(), 409, "superseded")
    at_v1.wait_until_live("v2")


# Everybody at once


@pytest.mark.serial
def test_a_hundred_sets_at_once_are_put_in_order(at_v1: Server) -> None:
    barrier = threading.Barrier(100)

    def change(number: int) -> Any:
        barrier.wait()
        return at_v1.admin("set-active-version", {"version": f"v{number % 2 + 1}"}).json

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(change, range(100)))

    changes = sorted((a for a in answers if not a["unchanged"]), key=lambda a: a["generation"])
    generations = [each["generation"] for each in changes]
    assert generations == list(range(generations[0], generations[0] + len(changes)))
    for before, after in itertools.pairwise(changes):
        assert after["previous"] == before["active"]
    assert at_v1.state.read_text() == f"active: {changes[-1]['active']}\n"
    assert at_v1.live() == changes[-1]["active"]
    assert at_v1.status()["generation"] == generations[-1]


def versions_until(end: float, *versions: str) -> Iterator[str]:
    """Give versions in turn until some moment."""
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(versions))


@pytest.mark.serial
def test_sets_and_hand_edits_come_to_one_order(at_v1: Server) -> None:
    """At quiet, what is served is what stands in the file, whoever wrote last."""
    end = time.monotonic() + 6
    answers: set[int] = set()

    def edit() -> None:
        for version in versions_until(end, "v1", "v2", "nothing", "v2", "["):
            at_v1.write_state(f"active: {version}\n")
        at_v1.write_state("active: v1\n")

    def set_version() -> None:
        for version in versions_until(end, "v2", "v1"):
            answers.add(at_v1.admin("set-active-version", {"version": version}).status)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(each) for each in (edit, set_version, set_version)]:
            done.result()

    assert answers == {200, 409}
    eventually(
        lambda: at_v1.status()["live"]["blob"] == at_v1.blob(), "the file and what is served agree"
    )
    eventually(at_v1.is_settled, "all well")
    assert at_v1.state.read_text() == f"active: {at_v1.live()}\n"
    assert at_v1.predict(ROW).json["model_version"] == at_v1.live()


def test_waiting_for_what_was_overtaken_before_is_told_at_once(at_v1: Server) -> None:
    overtaken = at_v1.write_state("active: v2\n")
    at_v1.wait_until_live("v2")
    at_v1.write_state("active: v1\n")
    at_v1.wait_until_live("v1")

    answer = wait(at_v1, overtaken)

    check_error(answer, 409, "superseded")
