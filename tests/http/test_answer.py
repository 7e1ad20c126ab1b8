import re
import time
from http import HTTPStatus

import pytest

from modeld.http.answer import Clock, render
from modeld.http.errors import _STATUSES

HEADERS = {"Content-Type": "application/json", "X-Request-Id": "abc"}


def test_an_answer_has_its_headers_in_order() -> None:
    data = render(200, HEADERS, b"{}", connection="", is_head=False)

    assert re.fullmatch(
        rb"HTTP/1\.1 200 OK\r\n"
        rb"Content-Type: application/json\r\n"
        rb"X-Request-Id: abc\r\n"
        rb"Content-Length: 2\r\n"
        rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
        rb"\r\n\{\}",
        data,
    )


def test_a_head_request_is_told_the_length_of_what_it_does_not_get() -> None:
    data = render(200, HEADERS, b"{}", connection="", is_head=True)

    assert b"\r\nContent-Length: 2\r\n" in data
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_what_becomes_of_the_connection_is_said(connection: str) -> None:
    data = render(200, {}, b"", connection=connection, is_head=False)

    assert data.endswith(f"\r\nConnection: {connection}\r\n\r\n".encode())


@pytest.mark.parametrize("status", sorted({*_STATUSES.values(), 200, 202}))
def test_every_status_has_its_words(status: int) -> None:
    data = render(status, {}, b"", connection="", is_head=False)

    assert data.startswith(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode())


def test_the_date_is_written_anew_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    seconds = [784111777.2, 784111777.9, 784111778.0]
    monkeypatch.setattr(time, "time", lambda: seconds.pop(0))

    dates = [clock.date() for _ in range(3)]

    assert dates == [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:38 GMT",
    ]
