import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from modeld.errors import (
    BodyTooLarge,
    ModeldError,
    UnsupportedCharset,
    UnsupportedContentEncoding,
    UnsupportedExpectation,
)
from modeld.http.limits import RequestIds, check_head

MAX_BODY = 1000
MADE = re.compile(r"[0-9a-f]{20}")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Length": "1000"},
        {"Content-Length": "0"},
        {"Content-Encoding": "identity"},
        {"Content-Encoding": "Identity"},
        {"Content-Encoding": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": 'application/json;charset="UTF-8"'},
        {"Content-Type": "text/plain; charset = us-ascii"},
        {"Expect": "100-continue"},
        {"Expect": "100-Continue"},
        {"content-length": "7", "CONTENT-TYPE": "nonsense"},
    ],
)
def test_plain_bodies_may_come(headers: Mapping[str, str]) -> None:
    """Whatever their type: `curl -d` says that it sends a form."""
    check_head(CIMultiDict(headers), MAX_BODY)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Content-Length": "1001"}, BodyTooLarge),
        ({"Content-Length": "9" * 100}, BodyTooLarge),
        ({"Content-Encoding": "gzip"}, UnsupportedContentEncoding),
        ({"Content-Encoding": "identity, gzip"}, UnsupportedContentEncoding),
        ({"content-encoding": "br"}, UnsupportedContentEncoding),
        ({"Content-Encoding": "\udcff"}, UnsupportedContentEncoding),
        ({"Content-Type": "application/json; charset=utf-16"}, UnsupportedCharset),
        ({"Content-Type": "application/json; CHARSET=latin-1"}, UnsupportedCharset),
        ({"Content-Type": 'text/plain; charset="utf-7"; x=y'}, UnsupportedCharset),
        ({"Expect": "200-ok"}, UnsupportedExpectation),
        ({"Expect": "100-continue, 200-ok"}, UnsupportedExpectation),
    ],
)
def test_other_bodies_are_refused_before_they_are_read(
    headers: Mapping[str, str], error: type[ModeldError]
) -> None:
    with pytest.raises(error):
        check_head(CIMultiDict(headers), MAX_BODY)


@pytest.mark.parametrize("name", ["Content-Encoding", "Expect"])
def test_a_refusal_quotes_little(name: str) -> None:
    with pytest.raises(ModeldError) as caught:
        check_head({name: "x" * 8000}, MAX_BODY)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("given_id", ["a", "4bf92f35-77b3", "~!@#$%^&*()", "x" * 128])
def test_a_given_id_is_kept(given_id: str) -> None:
    assert RequestIds().of(given_id) == given_id


@pytest.mark.parametrize(
    "given_id",
    [None, "", " ", "a b", "x" * 129, "a\n", "a\nb", "\x1b[31m", "ü", "\udcff", "a\x7f", "\0"],
)
def test_any_other_id_is_replaced(given_id: str | None) -> None:
    assert MADE.fullmatch(RequestIds().of(given_id))


@given(st.text())
def test_an_id_is_always_fit_for_a_header_and_a_log(text: str) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", RequestIds().of(text))


def test_ids_are_unique_in_a_process_and_among_processes() -> None:
    one, other = RequestIds(), RequestIds()

    assert len({ids.of(None) for ids in (one, other) for _ in range(500)}) == 1000
