"""Check what a request's head says of its body, and make ids for requests.

Bodies are UTF-8 and not coded: nothing is decompressed, so nothing small can become
large.
"""

import itertools
import os
import re
from collections.abc import Mapping

from aiohttp import hdrs

from modeld.errors import (
    BodyTooLarge,
    UnsupportedCharset,
    UnsupportedContentEncoding,
    UnsupportedExpectation,
)

_GIVEN_ID = re.compile(r"[\x21-\x7e]{1,128}")
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


class RequestIds:
    """Ids that are unique among all processes and cost one format a request."""

    def __init__(self) -> None:
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def of(self, given: str | None) -> str:
        """Keep the id that a request came with if it is printable and short, else make one."""
        if given is not None and _GIVEN_ID.fullmatch(given):
            return given
        return f"{self._prefix}{next(self._numbers):08x}"


def is_utf8(content_type: str) -> bool:
    """Tell whether a `Content-Type` leaves the text to be UTF-8."""
    return _charset(content_type) in ("", "utf-8", "utf8", "us-ascii")


def _charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found.group(1).lower() if found else ""


def check_head(headers: Mapping[str, str], max_body: int) -> None:
    """Refuse a body that is coded, in another charset or too long, before it is read."""
    coding = headers.get(hdrs.CONTENT_ENCODING)
    if coding and coding.lower() != "identity":
        raise UnsupportedContentEncoding(
            f"Content-Encoding {coding[:40]} is not decoded: send the body as it is"
        )
    content_type = headers.get(hdrs.CONTENT_TYPE)
    if content_type and not is_utf8(content_type):
        charset = _charset(content_type)
        raise UnsupportedCharset(f"charset {charset[:40]} is not supported: send UTF-8")
    length = headers.get(hdrs.CONTENT_LENGTH)
    if length and length.isdecimal() and int(length) > max_body:
        raise BodyTooLarge(f"a body of {length} bytes is more than the {max_body} allowed")
    expect = headers.get(hdrs.EXPECT)
    if expect and expect.lower() != "100-continue":
        raise UnsupportedExpectation(f"Expect: {expect[:40]} is not supported")
