import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import BadJson
from modeld.http import json_body
from modeld.http.json_body import parse, parse_large

ROWS = b", ".join(b"[%d, 0.5]" % number for number in range(30_000))


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [%b]}' % ROWS,
        b'\n{ "instances":[%b] }\r\n' % ROWS,
        b'{"features": [[%b], [%b]]}' % (ROWS, ROWS),
        b'{"features": [%b, ["a text], here"]]}' % ROWS,
        b'{"features": [%b], "version": "v1"}' % ROWS,
        b"[%b]" % ROWS,
        b'{"features": [[%b]]}' % b", ".join([b"0.25"] * 30_000),
        b'{"features": [{}, %b]}' % ROWS,
        b'{"features": []}',
    ],
)
def test_a_large_body_means_what_it_would_mean_whole(body: bytes) -> None:
    assert parse_large(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [%b],}' % ROWS,
        b'{"features": [%b,]}' % ROWS,
        b'{"features": [,%b]}' % ROWS,
        b'{"features": [%b, , [1]]}' % ROWS,
        b'{"features": [%b],[%b]}' % (ROWS, ROWS),
        b'{"features": [%b]},{"features": [%b]}' % (ROWS, ROWS),
        b'{"features": [%b]' % ROWS,
        b'{"features": [%b}' % ROWS,
        b'\v{"features": [%b]}' % ROWS,
        b'{"features": [%b], NaN]}' % ROWS,
        b'{"features": ]}',
    ],
)
def test_a_large_body_that_is_no_json_is_refused_as_a_small_one_is(body: bytes) -> None:
    with pytest.raises(BadJson) as refused:
        parse_large(body)
    with pytest.raises(BadJson) as whole:
        parse(body)

    assert str(refused.value) == str(whole.value)


@given(st.text(alphabet='[]{},:" 1.e-\n', max_size=60))
def test_no_text_between_brackets_is_read_otherwise_in_pieces(inside: str) -> None:
    body = b'{"features": [' + inside.encode() + b"]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "_PIECE", 4)
        assert read(parse_large, body) == read(parse, body)


def read(parser: Any, body: bytes) -> Any:
    try:
        return parser(body)
    except BadJson as error:
        return str(error)
