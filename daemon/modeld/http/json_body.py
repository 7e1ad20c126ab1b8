"""Parse the JSON of a prediction's body without holding up the other threads.

A parser in C keeps the interpreter's lock until it is through, and the event loop waits
meanwhile, also where a thread parses. A large body of plain rows is therefore parsed in
pieces.
"""

import gc
import re
from typing import Any

import orjson

from modeld.errors import BadJson, EmptyBody

LARGE_BODY = 1 << 16
"""From so many bytes on a body is parsed in pieces."""

_PIECE = 1 << 16
_SPACE = b" \t\n\r"
_ROWS_HEAD = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"(features|instances)"[ \t\n\r]*:[ \t\n\r]*\[')
_QUOTES_OF_THE_KEY = 2


def parse(body: bytes) -> Any:
    """Parse a body; raises `EmptyBody` or `BadJson`."""
    if not body:
        raise EmptyBody('the body is empty: send {"features": […]}')
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadJson(f"the body is not JSON: {error}") from None


def parse_large(body: bytes) -> Any:
    """Parse without looking for cycles, of which JSON has none: that would double the time."""
    gc.disable()
    try:
        content = _parse_in_pieces(body)
        return parse(body) if content is None else content
    finally:
        gc.enable()


def _parse_in_pieces(body: bytes) -> dict[str, list[Any]] | None:
    """Parse an object of one key and its rows of numbers; None if the body is anything else.

    The text between the outer brackets is a list's inside exactly if each of its pieces,
    cut behind a row, is the inside of a list that is not empty.
    """
    head = _ROWS_HEAD.match(body)
    if head is None or body.count(b'"') != _QUOTES_OF_THE_KEY:
        return None
    end = len(body.rstrip(_SPACE))
    if body[end - 1 : end] != b"}":
        return None
    end = len(body[: end - 1].rstrip(_SPACE)) - 1
    if body[end : end + 1] != b"]":
        return None
    rows: list[Any] = []
    start = head.end()
    while start <= end:
        comma = body.find(b"],", start + _PIECE, end) + 1 or end
        try:
            piece = orjson.loads(b"[%b]" % body[start:comma])
        except orjson.JSONDecodeError:
            return None
        if not piece:
            return None
        rows += piece
        start = comma + 1
    return {head[1].decode(): rows}
