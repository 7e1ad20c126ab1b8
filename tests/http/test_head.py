"""What of a request's head is beyond doubt."""

import pytest

from modeld.http.head import MAX_HEAD, Head, may_become_head, read_head

LINES = (b"POST /predict?proba=1 HTTP/1.1", b"Host: x", b"Content-Length: 20")


def head(*lines: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_a_plain_head_is_read() -> None:
    found = read_head(head(*LINES, b"x-request-id: me"))

    assert found == Head(b"/predict?proba=1", 20, is_plain=True, keep_alive=True, request_id="me")


@pytest.mark.parametrize(
    "lines",
    [
        (b"GET / HTTP/1.1", b"Host: x"),
        (b"PUT /predict HTTP/1.1", b"Host: x", b"Content-Length: 20"),
        (b"POST /predict HTTP/1.1", b"Host: x"),
        (*LINES, b"Expect: 100-continue"),
        (*LINES, b"Content-Encoding: gzip"),
        (*LINES, b"Content-Type: text/plain; charset=latin-1"),
        (*LINES, b"X-Request-Id: a", b"X-Request-Id: b"),
        (*LINES, b"Connection: close, keep-alive"),
    ],
)
def test_what_is_not_plain_still_has_an_end(lines: tuple[bytes, ...]) -> None:
    found = read_head(head(*lines))

    assert found is not None
    assert not found.is_plain
    assert found.length == (20 if b"Content-Length: 20" in lines else 0)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + head(*LINES),
        head(*LINES)[:-2],
        head(*LINES, b"Host: y"),
        head(LINES[0], LINES[2]),
        head(*LINES, b"Content-Length: 20"),
        head(*LINES, b"Transfer-Encoding: chunked"),
        head(*LINES, b"Upgrade: websocket"),
        head(*LINES, b"X-A: a", b" b"),
        head(*LINES, b"X-A: \xc3\xa9"),
        head(*LINES, b"X-A: a\0b"),
        head(*LINES, b"X-A: a\tb"),
        head(*LINES).replace(b"\r\n", b"\n"),
        head(*LINES).replace(b"HTTP/1.1", b"HTTP/1.0"),
        head(*LINES).replace(b"POST", b"post"),
        head(*LINES).replace(b"POST", b"CONNECT"),
        head(*LINES).replace(b": 20", b": +20"),
        head(*LINES, *[b"X-A: a"] * 101),
        head(*LINES, b"X-A: " + b"a" * MAX_HEAD),
    ],
)
def test_what_leaves_a_doubt_is_not_read(data: bytes) -> None:
    assert read_head(data) is None


def test_what_is_right_so_far_may_become_a_head() -> None:
    whole = head(*LINES)

    assert all(may_become_head(whole[:end]) for end in range(len(whole) - 1))
    assert not may_become_head(whole)
    assert not may_become_head(b"\x16\x03\x01")
    assert not may_become_head(b"POST /predict HTTP/1.1\n")
    assert not may_become_head(b"POST /" + b"a" * MAX_HEAD)
