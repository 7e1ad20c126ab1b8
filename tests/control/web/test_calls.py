import json
from typing import Any

import pytest

from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.errors import Overloaded, StateConflict, VersionNotFound
from modeld.http.auth import AdminAccess, Caller
from tests.support.owners import unknown_owner

LOCAL = Caller(
    {"host": "localhost:8000", "content-type": "application/json"}, "127.0.0.1", "127.0.0.1", "1.1"
)
STRANGER = Caller({"host": "localhost:8000"}, "192.0.2.7", "192.0.2.1", "1.1")


async def echo(call: Call) -> Answer:
    return json_answer({"path": call.path, "query": dict(call.query), "content": call.content()})


async def look(call: Call) -> Answer:
    return json_answer({"path": call.path, "seconds": call.number("timeout", 5.0, 60.0)})


SENTENCES = {"summary": "Serving v1 since 02:14.", "next": "modeld unhold v2"}


async def fail(_call: Call) -> Answer:
    raise RuntimeError("a secret is 1234")


async def lack(_call: Call) -> Answer:
    raise VersionNotFound("no version v9", ("v1", "v2"))


async def conflict(_call: Call) -> Answer:
    raise StateConflict("somebody was faster")


async def be_busy(_call: Call) -> Answer:
    raise Overloaded("later")


@pytest.fixture
def calls() -> Calls:
    access = AdminAccess(
        token=None, port=8000, is_loopback=True, public_url="", owner_of=unknown_owner
    )
    calls = Calls(access, lambda: SENTENCES)
    calls.add("POST", "/admin/echo", echo)
    calls.add("GET", "/admin/look", look)
    calls.add("GET", "/admin/things/", look)
    calls.add("POST", "/admin/fail", fail)
    calls.add("POST", "/admin/lack", lack)
    calls.add("POST", "/admin/busy", be_busy)
    calls.add("POST", "/admin/conflict", conflict)
    calls.add("GET", "/open", look, is_public=True)
    return calls


async def ask(
    calls: Calls, method: str, target: str, body: bytes = b"", caller: Caller = LOCAL
) -> tuple[int, Any, dict[str, str]]:
    answer = await calls.answer(method, target, caller, body, "abc")
    return answer.status, json.loads(answer.body), dict(answer.headers)


async def test_a_refused_change_says_what_serves_and_what_to_do(calls: Calls) -> None:
    status, content, _ = await ask(calls, "POST", "/admin/conflict")

    assert status == 409
    assert content == {
        "error": "somebody was faster", "code": "state_conflict", "request_id": "abc", **SENTENCES
    }  # fmt: skip


async def test_other_failures_do_not(calls: Calls) -> None:
    for path in ("/admin/lack", "/admin/busy", "/admin/fail", "/admin/nothing"):
        _, content, _ = await ask(calls, "POST", path)
        assert "summary" not in content


async def test_a_call_reaches_its_route(calls: Calls) -> None:
    status, content, _ = await ask(calls, "POST", "/admin/echo?a=1&b=%C3%BC", b'{"version": "v2"}')

    assert status == 200
    assert content == {
        "path": "/admin/echo",
        "query": {"a": "1", "b": "ü"},
        "content": {"version": "v2"},
    }


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code"),
    [
        ("GET", "/admin/nothing", b"", 404, "not_found"),
        ("GET", "/admin", b"", 404, "not_found"),
        ("GET", "/admin/echo", b"", 405, "method_not_allowed"),
        ("DELETE", "/admin/look", b"", 405, "method_not_allowed"),
        ("POST", "/admin/echo", b"{", 400, "bad_json"),
        ("POST", "/admin/echo", b"[" * 100_000, 400, "bad_json"),
        ("POST", "/admin/echo", b"\xff\xfe", 400, "bad_json"),
        ("POST", "/admin/echo", b'{"reason": "\\ud800"}', 400, "bad_json"),
        ("POST", "/admin/echo", b"[]", 422, "wrong_type"),
        ("POST", "/admin/echo", b'{"a": 1, "a": 2}', 400, "duplicate_key"),
        ("POST", "/admin/echo", b'{"x": {"a": 1, "a": 2}}', 400, "duplicate_key"),
        ("POST", "/admin/lack", b"", 404, "version_not_found"),
        ("POST", "/admin/busy", b"", 503, "overloaded"),
        ("POST", "/admin/fail", b"", 500, "internal_error"),
        ("GET", "/admin/look?timeout=x", b"", 422, "invalid_parameter"),
        ("GET", "/admin/look?timeout=-1", b"", 422, "invalid_parameter"),
        ("GET", "/admin/look?timeout=61", b"", 422, "invalid_parameter"),
        ("GET", "/admin/look?timeout=nan", b"", 422, "invalid_parameter"),
        ("GET", "/admin/look?timeout=inf", b"", 422, "invalid_parameter"),
        ("POST", "/predict", b"", 503, "not_ready"),
    ],
)
async def test_whatever_goes_wrong_is_an_answer(
    calls: Calls, method: str, target: str, body: bytes, status: int, code: str
) -> None:
    found, content, _ = await ask(calls, method, target, body)

    assert (found, content["code"], content["request_id"]) == (status, code, "abc")
    assert "secret" not in content["error"]


async def test_an_answer_says_what_would_have_worked(calls: Calls) -> None:
    _, content, _ = await ask(calls, "POST", "/admin/lack")
    _, _, refused = await ask(calls, "GET", "/admin/echo")
    _, _, busy = await ask(calls, "POST", "/admin/busy")

    assert content["known"] == ["v1", "v2"]
    assert refused["Allow"] == "POST"
    assert busy["Retry-After"] == "1"


@pytest.mark.parametrize(
    "target", ["/admin/echo", "/admin/nothing", "/nothing", "/open/", "//open", "/Open", "/metrics"]
)
async def test_what_is_not_opened_is_closed(calls: Calls, target: str) -> None:
    """A stranger cannot even tell what is there."""
    status, content, _ = await ask(calls, "GET", target, caller=STRANGER)

    assert (status, content["code"]) == (403, "forbidden")


async def test_what_is_public_is_open_to_strangers(calls: Calls) -> None:
    assert (await ask(calls, "GET", "/open?timeout=7", caller=STRANGER))[1]["seconds"] == 7.0
    assert calls.is_public("/open")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_a_form_of_another_site_is_no_call(calls: Calls, content_type: str) -> None:
    """A page may send these without asking the browser's leave."""
    caller = Caller(
        {**LOCAL.headers, "content-type": content_type}, "127.0.0.1", "127.0.0.1", "1.1"
    )

    status, content, _ = await ask(calls, "POST", "/admin/echo", b"{}", caller)

    assert (status, content["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_said_in_several_ways(calls: Calls, content_type: str) -> None:
    caller = Caller(
        {**LOCAL.headers, "content-type": content_type}, "127.0.0.1", "127.0.0.1", "1.1"
    )

    assert (await ask(calls, "POST", "/admin/echo", b"", caller))[0] == 200


async def test_a_path_that_ends_in_a_slash_takes_what_follows(calls: Calls) -> None:
    assert (await ask(calls, "GET", "/admin/things/7"))[1]["path"] == "/admin/things/7"
    assert (await ask(calls, "GET", "/admin/things/7/8"))[0] == 404


async def test_head_is_answered_as_get(calls: Calls) -> None:
    assert (await ask(calls, "HEAD", "/admin/look"))[0] == 200


async def test_a_document_may_quote_what_is_no_text() -> None:
    """A file's name, for one."""
    assert json.loads(json_answer({"message": "half \udcff"}).body)["message"] == "half ?"


def test_the_routes_are_listed(calls: Calls) -> None:
    assert calls.paths()["/admin/echo"] == ("POST",)
