"""The log of requests: the same lines in both lanes, and nothing in them that came in."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from modeld import log
from modeld.serving.predictor import Reply
from modeld.serving.request_log import RequestLog, request_log
from modeld.slots import Slots
from tests.serving.test_lanes import LATER, LIMITS, Lane, post
from tests.support.logs import log_restored

SECRET = "correct-horse-battery"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    log_restored(monkeypatch)
    log.configure("json", stream=stream)
    return stream


def logged(lines: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [line for line in found if line["event"] == "http.request"]


async def ask(slots: Slots, *requests: bytes, is_express: bool, fraction: float) -> None:
    limits = replace(LIMITS, log_requests=fraction)
    lane = await Lane(slots, is_express=is_express, limits=limits).start()
    await lane.exchange(*requests)
    await lane.stop()


@pytest.mark.parametrize("is_express", [True, False])
async def test_a_line_says_what_was_asked_and_what_became_of_it(
    lines: io.StringIO, slots: Slots, is_express: bool
) -> None:
    asked = post(LATER, b"/predict?version=v2", b"X-Request-Id: me-1")

    await ask(slots, asked, is_express=is_express, fraction=1.0)

    first = logged(lines)[0]
    assert first.pop("milliseconds") >= 10
    assert first.pop("timestamp")
    assert first == {
        "level": "info", "event": "http.request", "method": "POST", "path": "/predict",
        "status": 200, "version": "v2", "request_id": "me-1",
    }  # fmt: skip


@pytest.mark.parametrize("is_express", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 1.0])
async def test_no_secret_of_a_request_gets_into_the_log(
    lines: io.StringIO, slots: Slots, is_express: bool, fraction: float
) -> None:
    secret = SECRET.encode()
    requests = [
        post(b'{"features": ["%s", 1]}' % secret),
        post(b'{"%s": [1, 2]}' % secret, b"/predict", b"Authorization: Bearer " + secret),
        post(b'{"features": [1, 2]}', b"/predict?version=" + secret, b"Cookie: a=" + secret),
        post(b'{"features": [1, 2]}', b"/nothing?token=" + secret),
    ]

    for request in requests:
        await ask(slots, request, is_express=is_express, fraction=fraction)

    assert SECRET not in lines.getvalue()
    assert len(logged(lines)) == (8 if fraction else 0)


def test_about_the_fraction_that_is_asked_for_is_logged(lines: io.StringIO) -> None:
    requests = RequestLog(0.1)

    for _ in range(2000):
        requests.note("GET", "/healthz", Reply(200, b""), "id", 0.0)

    assert 100 < len(logged(lines)) < 320


def test_a_path_of_any_length_is_one_short_line(lines: io.StringIO) -> None:
    RequestLog(1.0).note("GET", "/\n" + "a" * 9000, Reply(404, b""), "id", 0.0)

    assert len(lines.getvalue()) < 500
    assert lines.getvalue().count("\n") == 1


def test_there_is_none_while_it_is_off() -> None:
    assert request_log(0.0) is None
