import re
import time
from http import HTTPStatus

import pytest

from modeld.http.answer import Clock, render
from modeld.http.errors import _STATUSES


def test_an_answer_has_its_headers_in_order() -> None:
    data = render(200, "abc", {"X-Model-Version": "v1"}, b"{}")

    assert re.fullmatch(
        rb"HTTP/1\.1 200 OK\r\n"
        rb"Content-Type: application/json\r\n"
        rb"X-Request-Id: abc\r\n"
        rb"X-Model-Version: v1\r\n"
        rb"Content-Length: 2\r\n"
        rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
        rb"\r\n\{\}",
        data,
    )


def test_a_head_request_is_told_the_length_of_what_it_does_not_get() -> None:
    data = render(200, "abc", {}, b"{}", is_head=True)

    assert b"\r\nContent-Length: 2\r\n" in data
    assert data.endswith(b"\r\n\r\n")


def test_a_type_of_its_own_stands_where_json_would() -> None:
    data = render(200, "abc", {"Allow": "GET", "Content-Type": "text/plain"}, b"")

    assert data.startswith(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Request-Id: abc\r\nAllow: GET\r\n"
    )


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_what_becomes_of_the_connection_is_said(connection: str) -> None:
    data = render(200, "abc", {}, b"", connection=connection)

    assert data.endswith(f"\r\nConnection: {connection}\r\n\r\n".encode())


@pytest.mark.parametrize("status", sorted({*_STATUSES.values(), 200, 202}))
def test_every_status_has_its_words(status: int) -> None:
    data = render(status, "abc", {}, b"")

    assert data.startswith(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode())


def test_the_date_is_written_anew_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    seconds = [784111777.2, 784111777.9, 784111778.0]
    monkeypatch.setattr(time, "time", lambda: seconds.pop(0))

    dates = [clock.date() for _ in range(3)]

    assert dates == [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:38 GMT",
    ]


def test_an_answer_that_says_nothing_is_new_has_no_length() -> None:
    """It would be the length of what the client has, which is not known here."""
    data = render(304, "abc", {"ETag": '"x"'}, b"")

    assert b"Content-Length" not in data
    assert data.endswith(b"\r\n\r\n")
