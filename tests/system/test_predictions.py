"""Ask a real server for predictions, rightly and wrongly: every body, row, header and error."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import connected, request
from tests.support.server import Answer, Server, cared_for, eventually, make_server
from tests.support.versions import write_model, write_named, write_regression

ROW = [6.3, 2.8, 5.1, 1.5]
OTHER = [5.1, 3.5, 1.4, 0.2]
GOOD = {"features": ROW}
MAX_BODY = 65536
MAX_ROWS = 100

MODELS = {
    "raises": "lambda self, rows: 1 / 0",
    "answers-nan": "lambda self, rows: rows.sum(axis=1) * float('nan')",
    "answers-none": "lambda self, rows: None",
    "answers-too-few": "lambda self, rows: rows.sum(axis=1)[1:]",
    "answers-texts": "lambda self, rows: ['a\\u00e9'] * len(rows)",
    "answers-truths": "lambda self, rows: rows.sum(axis=1) > 0",
    "answers-lists": "lambda self, rows: rows * 2",
}
RANKS = {
    "text": (0, "lambda self, rows: [len(text) for text in rows]"),
    "picture": (2, "lambda self, rows: rows.sum(axis=(1, 2))"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of this module that do not change it."""
    with cared_for(make_server(tmp_path_factory.mktemp("predictions") / "repository")) as server:
        server.expects_tracebacks = True  # `raises` does what its name says
        write_named(server.models / "named")
        write_regression(server.models / "regression")
        for name, predict in MODELS.items():
            write_model(server.models / name, predict)
        for name, (rank, predict) in RANKS.items():
            write_model(server.models / name, predict)
            (server.models / name / "model.yaml").write_text(f"rank: {rank}\n")
        (server.models / "churn").mkdir()
        write_regression(server.models / "churn" / "c1")
        server.state.write_text("active: v1\nmodels: {churn: {active: c1}}\n")
        server.start(
            MODELD_MAX_BODY=str(MAX_BODY), MODELD_MAX_ROWS=str(MAX_ROWS), MODELD_MAX_LOADED="20"
        )
        server.wait_until_live("v1")
        yield server
        log = server.log.read_text()
        assert "http.failed" not in log, log
        assert "predict.failed" not in log, log


def check_error(answer: Answer, status: int, code: str) -> str:
    """An error has its status, its code and its shape; gives the message."""
    assert (answer.status, answer.json.get("code")) == (status, code), answer.body
    assert set(answer.json) - {"known"} == {"error", "code", "request_id"}
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"
    message = answer.json["error"]
    assert isinstance(message, str)
    assert "Traceback" not in message
    return message


# Rows


def test_one_row_gets_one_prediction(running: Server) -> None:
    answer = running.predict({"features": ROW})

    assert answer.status == 200
    assert answer.json == {"prediction": 1, "model_version": "v1"}


def test_many_rows_get_many_predictions(running: Server) -> None:
    answer = running.predict({"features": [ROW, OTHER, ROW]})

    assert answer.json == {"predictions": [1, 0, 1], "model_version": "v1"}


def test_a_list_of_one_row_is_many_rows(running: Server) -> None:
    answer = running.predict({"features": [ROW]})

    assert answer.json == {"predictions": [1], "model_version": "v1"}


def test_instances_are_always_many(running: Server) -> None:
    assert running.predict({"instances": [ROW, OTHER]}).json["predictions"] == [1, 0]
    assert running.predict({"instances": [ROW]}).json["predictions"] == [1]
    check_error(running.predict({"instances": ROW}), 422, "wrong_type")


def test_a_whole_number_is_a_number(running: Server) -> None:
    assert running.predict({"features": [6, 3, 5, 1]}).json["prediction"] == 1


def test_an_object_is_one_row_by_name(running: Server) -> None:
    answer = running.predict({"features": {"b": 1, "a": 2.0}}, "?version=named")

    assert answer.json["prediction"] == pytest.approx(5.0)
    assert answer.json["model_version"] == "named"


def test_a_list_of_objects_is_many_rows(running: Server) -> None:
    rows = [{"a": 1, "b": 0}, {"b": 1, "a": 0}]

    for key in ("features", "instances"):
        answer = running.predict({key: rows}, "?version=named")
        assert answer.json["predictions"] == pytest.approx([2.0, 1.0])
    answer = running.predict({"features": rows[:1]}, "?version=named")
    assert answer.json["predictions"] == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("row", "code", "part"),
    [
        ({"a": 1}, "missing_field", '"b"'),
        ({"a": 1, "b": 2, "c": 3}, "unknown_field", '"c"'),
        ({"a": 1, "b": "x"}, "wrong_type", 'row 1, column 2 ("b")'),
        ({"a": 1, "b": None}, "wrong_type", "null"),
        ([{"a": 1, "b": 2}, {"a": 1}], "missing_field", "row 2"),
        ([{"a": 1, "b": 2}, [1, 2, 3]], "wrong_shape", "row 2: expected 2 values, got 3"),
    ],
)
def test_an_object_must_have_exactly_the_columns(
    running: Server, row: object, code: str, part: str
) -> None:
    answer = running.predict({"features": row}, "?version=named")

    assert part in check_error(answer, 422, code)


def test_a_text_model_takes_texts(running: Server) -> None:
    query = "?version=text"

    assert running.predict({"features": "abc"}, query).json["prediction"] == 3
    assert running.predict({"features": ["abc", "é"]}, query).json["predictions"] == [3, 1]
    assert running.predict({"instances": ["abc"]}, query).json["predictions"] == [3]
    check_error(running.predict({"features": [1, 2]}, query), 422, "wrong_type")
    check_error(running.predict({"features": 1}, query), 422, "wrong_type")


def test_a_picture_is_one_row_of_lists(running: Server) -> None:
    picture, query = [[1, 2], [3, 4]], "?version=picture"

    assert running.predict({"features": picture}, query).json["prediction"] == 10
    assert running.predict({"features": [picture] * 2}, query).json["predictions"] == [10, 10]
    check_error(running.predict({"features": [[1, 2], [3]]}, query), 422, "wrong_shape")
    check_error(running.predict({"features": [1, 2]}, query), 422, "wrong_shape")
    check_error(running.predict({"features": [[1, "2"]]}, query), 422, "wrong_type")


@pytest.mark.parametrize("version", ["v1", "text", "picture", "named"])
@pytest.mark.parametrize("depth", [4, 64, 900, 1000, 1015, 5000, 30000])
def test_lists_however_deep_are_refused(running: Server, version: str, depth: int) -> None:
    body = '{"features": ' + "[" * depth + "1" + "]" * depth + "}"
    answer = running.call("POST", f"/predict?version={version}", body)

    assert answer.status in (400, 422), answer.body


# Which version


def test_a_request_may_name_its_version(running: Server) -> None:
    answer = running.predict(GOOD, "?version=v2")

    assert answer.json == {"prediction": 2, "model_version": "v2"}
    assert answer.headers["X-Model-Version"] == "v2"


def test_a_request_may_name_its_model(running: Server) -> None:
    answer = running.predict({"features": [1, 1]}, "?model=churn")

    assert answer.json == {"prediction": pytest.approx(3.0), "model_version": "c1"}
    assert running.predict({"features": [1, 1]}, "?model=churn&version=c1").json == answer.json
    assert running.predict(GOOD, "?model=default").json["model_version"] == "v1"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?version=v9", 404, "version_not_found"),
        ("?version=V1", 404, "version_not_found"),
        ("?version=", 422, "invalid_version_name"),
        ("?version=latest", 422, "invalid_version_name"),
        ("?version=..%2Fv1", 422, "invalid_version_name"),
        ("?version=v1%00", 422, "invalid_version_name"),
        ("?version=v1%0a", 422, "invalid_version_name"),
        (f"?version={'v' * 65}", 422, "invalid_version_name"),
        ("?version=%F0%9F%98%80", 422, "invalid_version_name"),
        ("?version=%FF", 422, "invalid_version_name"),
        ("?version=v1&version=v2", 422, "invalid_parameter"),
        ("?verison=v1", 422, "invalid_parameter"),
        ("?proba=maybe", 422, "invalid_parameter"),
        ("?model=nothing", 404, "model_not_found"),
        ("?model=nothing&version=v1", 404, "model_not_found"),
        ("?model=..", 422, "invalid_version_name"),
        ("?model=churn&version=v1", 404, "version_not_found"),
    ],
)
def test_a_target_that_is_not_there_is_refused(
    running: Server, query: str, status: int, code: str
) -> None:
    check_error(running.predict(GOOD, query), status, code)


def test_an_unknown_version_is_answered_with_the_known_ones(running: Server) -> None:
    answer = running.predict(GOOD, "?version=v9")

    assert {"v1", "v2", "named"} <= set(answer.json["known"])


def test_a_misspelt_parameter_is_answered_with_the_right_one(running: Server) -> None:
    assert "version" in check_error(running.predict(GOOD, "?verison=v1"), 422, "invalid_parameter")


# Probabilities


def test_probabilities_of_one_row_are_a_list(running: Server) -> None:
    answer = running.predict(GOOD, "?proba=true").json

    assert answer["prediction"] == 1
    assert answer["classes"] == [0, 1, 2]
    assert len(answer["probabilities"]) == 3
    assert sum(answer["probabilities"]) == pytest.approx(1.0)
    assert max(answer["probabilities"]) == answer["probabilities"][1]


def test_probabilities_of_many_rows_are_a_list_of_lists(running: Server) -> None:
    answer = running.predict({"features": [ROW, OTHER]}, "?proba=true&version=v2").json

    assert answer["predictions"] == [2, 0]
    assert [len(row) for row in answer["probabilities"]] == [3, 3]
    assert answer["classes"] == [0, 1, 2]


def test_probabilities_that_are_not_wanted_are_not_given(running: Server) -> None:
    assert set(running.predict(GOOD, "?proba=false").json) == {"prediction", "model_version"}


def test_a_model_without_probabilities_says_so(running: Server) -> None:
    answer = running.predict({"features": [1, 1]}, "?version=regression&proba=true")

    check_error(answer, 422, "no_probabilities")
    assert answer.headers["X-Model-Version"] == "regression"


# What models answer


@pytest.mark.parametrize(
    ("version", "prediction"),
    [("answers-texts", "aé"), ("answers-truths", True), ("answers-lists", [2.0, 4.0])],
)
def test_an_answer_is_written_as_it_is(running: Server, version: str, prediction: object) -> None:
    answer = running.predict({"features": [1, 2]}, f"?version={version}").json

    assert answer["prediction"] == prediction
    assert type(answer["prediction"]) is type(prediction)


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("raises", "model_error"),
        ("answers-nan", "model_output_invalid"),
        ("answers-none", "model_output_invalid"),
        ("answers-too-few", "model_output_invalid"),
    ],
)
def test_a_model_that_fails_is_a_500_that_says_so(running: Server, version: str, code: str) -> None:
    answer = running.predict({"features": [1, 2]}, f"?version={version}")

    check_error(answer, 500, code)
    assert answer.headers["X-Model-Version"] == version


# Headers


def test_every_answer_after_routing_names_version_and_runtime(running: Server) -> None:
    answers = [
        running.predict(GOOD),
        running.predict({"features": [1]}),
        running.predict({"features": [ROW] * (MAX_ROWS + 1)}),
        running.call("POST", "/predict", b""),
        running.call("POST", "/predict", b"{"),
    ]

    assert [answer.status for answer in answers] == [200, 422, 413, 400, 400]
    for answer in answers:
        assert answer.headers["X-Model-Version"] == "v1"
        assert answer.headers["X-Model-Runtime"] == "native"


def test_every_answer_has_the_same_set_of_headers(running: Server) -> None:
    expected = {"Content-Type", "Content-Length", "Date", "X-Request-Id"}

    assert set(running.get("/healthz").headers) == expected
    assert set(running.get("/nothing").headers) == expected
    assert set(running.predict(GOOD).headers) == expected | {"X-Model-Version", "X-Model-Runtime"}


@pytest.mark.parametrize("target", ["/predict", "/healthz", "/nothing", "/admin/status", "/"])
def test_a_request_id_is_kept(running: Server, target: str) -> None:
    assert running.get(target, **{"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"


def test_an_error_repeats_the_request_id(running: Server) -> None:
    answer = running.get("/nothing", **{"X-Request-Id": "mine-2"})

    assert answer.json["request_id"] == "mine-2"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\x1b[31m", "é"])
def test_a_request_id_that_could_hurt_a_log_is_replaced(running: Server, given: str) -> None:
    found = running.get("/healthz", **{"X-Request-Id": given}).headers["X-Request-Id"]

    assert found != given
    assert found.isalnum()


def test_request_ids_that_are_made_differ(running: Server) -> None:
    found = [running.get("/healthz").headers["X-Request-Id"] for _ in range(20)]

    assert len(set(found)) == 20


# Bodies


BAD_BODIES: list[tuple[str, Any, int, str]] = [
    ("nothing", b"", 400, "empty_body"),
    ("cut off", b'{"features": [1, 2', 400, "bad_json"),
    ("no JSON", b"features=1", 400, "bad_json"),
    ("NaN", b'{"features": [NaN, 1, 1, 1]}', 400, "bad_json"),
    ("Infinity", b'{"features": [-Infinity, 1, 1, 1]}', 400, "bad_json"),
    ("something after it", b'{"features": [1, 2, 3, 4]}]', 400, "bad_json"),
    ("two documents", b'{"features": [1, 2, 3, 4]}{}', 400, "bad_json"),
    ("not UTF-8", b'{"features": ["\xff\xfe"]}', 400, "bad_json"),
    ("UTF-16", '{"features": [1, 2, 3, 4]}'.encode("utf-16"), 400, "bad_json"),
    ("byte order mark", b'\xef\xbb\xbf{"features": [1, 2, 3, 4]}', 400, "bad_json"),
    ("lone surrogate", rb'{"\ud800": 1}', 400, "bad_json"),
    ("NUL", b"\0", 400, "bad_json"),
    ("a list", [ROW], 422, "wrong_type"),
    ("null", None, 422, "wrong_type"),
    ("a number", 5, 422, "wrong_type"),
    ("an empty object", {}, 422, "missing_field"),
    ("a misspelt key", {"feature": ROW}, 422, "unknown_field"),
    ("one key too many", {"features": ROW, "version": "v2"}, 422, "unknown_field"),
    ("both keys", {"features": ROW, "instances": [ROW]}, 422, "conflicting_fields"),
    ("null features", {"features": None}, 422, "wrong_type"),
    ("number features", {"features": 5}, 422, "wrong_type"),
    ("text features", {"features": "5, 3, 1, 0"}, 422, "wrong_type"),
    ("no columns", {"features": {"a": 1}}, 422, "wrong_type"),
    ("no rows", {"features": []}, 422, "empty_batch"),
    ("no instances", {"instances": []}, 422, "empty_batch"),
    ("an empty row", {"features": [[]]}, 422, "wrong_shape"),
    ("too few", {"features": ROW[:3]}, 422, "wrong_shape"),
    ("too many", {"features": [*ROW, 1]}, 422, "wrong_shape"),
    ("ragged", {"features": [ROW, ROW[:3]]}, 422, "wrong_shape"),
    ("a text", {"features": [1, 2, "3", 4]}, 422, "wrong_type"),
    ("a truth value", {"features": [1, 2, True, 4]}, 422, "wrong_type"),
    ("a null", {"features": [1, 2, None, 4]}, 422, "wrong_type"),
    ("a list in a row", {"features": [ROW, [1, 2, [3], 4]]}, 422, "wrong_type"),
    ("an object in a row", {"features": [1, 2, {}, 4]}, 422, "wrong_type"),
    ("a row that is none", {"features": [ROW, 5]}, 422, "wrong_type"),
    ("too many rows", {"features": [ROW] * (MAX_ROWS + 1)}, 413, "too_many_rows"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [case[1:] for case in BAD_BODIES],
    ids=[case[0].replace(" ", "-") for case in BAD_BODIES],
)
def test_a_bad_body_is_refused(running: Server, body: Any, status: int, code: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body)

    check_error(running.call("POST", "/predict", data), status, code)


def test_numbers_too_large_for_anything_never_break_a_server(running: Server) -> None:
    for number in ("1e999", "-1e999", "9" * 400, "1e308", "9" * 30, "5e-324", "-0", "0e99999"):
        body = f'{{"features": [{number}, 1, 1, 1]}}'
        answer = running.call("POST", "/predict", body)
        assert answer.status in (200, 400, 422), (number, answer.body)


def test_a_wrong_shape_names_row_expected_and_got(running: Server) -> None:
    message = check_error(running.predict({"features": [ROW, ROW[:3]]}), 422, "wrong_shape")

    assert message == "row 2: expected 4 values, got 3"


@pytest.mark.parametrize(
    ("value", "kind"), [("3", "a text"), (True, "a truth value"), (None, "null"), ([], "a list")]
)
def test_a_wrong_type_names_row_and_column(running: Server, value: object, kind: str) -> None:
    row = [1, 2, value, 4]

    message = check_error(running.predict({"features": [ROW, row]}), 422, "wrong_type")

    assert message == f"row 2, column 3: expected a number, found {kind}"


def test_as_many_rows_as_allowed_are_answered(running: Server) -> None:
    answer = running.predict({"features": [ROW] * MAX_ROWS})

    assert answer.json["predictions"] == [1] * MAX_ROWS


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
def test_a_body_is_json_whatever_its_type_says(running: Server, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    assert running.call("POST", "/predict", json.dumps(GOOD), headers).status == 200


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("Content-Type", "application/json; charset=latin-1", 415, "unsupported_charset"),
        ("Content-Type", "text/plain; charset=utf-16", 415, "unsupported_charset"),
        ("Content-Encoding", "gzip", 415, "unsupported_content_encoding"),
        ("Content-Encoding", "br", 415, "unsupported_content_encoding"),
        ("Content-Encoding", "identity, gzip", 415, "unsupported_content_encoding"),
        ("Expect", "a-miracle", 417, "unsupported_expectation"),
    ],
)
def test_a_coded_body_is_refused(
    running: Server, name: str, value: str, status: int, code: str
) -> None:
    answer = running.call("POST", "/predict", json.dumps(GOOD), {name: value})

    check_error(answer, status, code)


@pytest.mark.parametrize("name", ["Content-Encoding: ", "Content-Type: a/b; charset=", "Expect: "])
def test_a_strange_byte_in_a_header_is_quoted(running: Server, name: str) -> None:
    with connected(running.port) as connection:
        connection.send(request(GOOD, f"{name}\xff"))
        assert connection.answer().status in (415, 417)


def test_a_body_that_says_it_is_not_coded_is_taken(running: Server) -> None:
    headers = {"Content-Encoding": "identity"}

    assert running.call("POST", "/predict", json.dumps(GOOD), headers).status == 200


@pytest.mark.parametrize("extra", [0, 1])
def test_a_body_may_be_as_long_as_allowed(running: Server, extra: int) -> None:
    body = json.dumps(GOOD).ljust(MAX_BODY + extra)

    answer = running.call("POST", "/predict", body)

    if extra:
        check_error(answer, 413, "body_too_large")
    else:
        assert answer.status == 200


# HTTP, byte by byte


def test_a_client_that_asks_first_is_told_to_go_on(running: Server) -> None:
    head, body = request(GOOD, "Expect: 100-continue").split(b"\r\n\r\n", 1)

    with connected(running.port) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.answer().status == 100
        connection.send(body)
        assert connection.answer().json["prediction"] == 1


def test_a_client_that_asks_first_hears_that_its_body_is_too_long(running: Server) -> None:
    head = request(None, "Expect: 100-continue", f"Content-Length: {MAX_BODY + 1}")

    with connected(running.port) as connection:
        connection.send(head)
        answer = connection.answer()
        check_error(answer, 413, "body_too_large")
        assert answer.headers["Connection"] == "close"


def chunked(*chunks: bytes) -> bytes:
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request(None, "Transfer-Encoding: chunked") + parts + b"0\r\n\r\n"


def test_a_body_may_come_in_chunks(running: Server) -> None:
    body = json.dumps(GOOD).encode()

    with connected(running.port) as connection:
        connection.send(chunked(body[:5], body[5:6], body[6:]))
        assert connection.answer().json["prediction"] == 1
        connection.send(request(GOOD))
        assert connection.answer().status == 200


def test_chunks_over_the_limit_are_refused(running: Server) -> None:
    chunk = b" " * 16384

    with connected(running.port) as connection:
        connection.send(chunked(*[chunk] * 4, b"{}"))
        check_error(connection.answer(), 413, "body_too_large")


def test_a_long_body_is_refused_before_it_is_sent(running: Server) -> None:
    with connected(running.port) as connection:
        connection.send(request(None, f"Content-Length: {1 << 40}"))
        answer = connection.answer()
        check_error(answer, 413, "body_too_large")
        assert answer.headers["Connection"] == "close"


GET = b"GET /healthz HTTP/1.1\r\n"
MALFORMED: dict[str, bytes] = {
    "two hosts": GET + b"Host: a\r\nHost: b\r\n\r\n",
    "no host": GET + b"\r\n",
    "garbage": b"\x00\x01\x02garbage\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 32 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "space before colon": GET + b"Host : a\r\n\r\n",
    "folded header": GET + b"Host: a\r\nX: 1\r\n 2\r\n\r\n",
    "NUL in a header": GET + b"Host: a\r\nX: a\0b\r\n\r\n",
    "header without colon": GET + b"Host: a\r\nnothing\r\n\r\n",
    "negative length": request(None, "Content-Length: -1"),
    "signed length": request(None, "Content-Length: +2") + b"{}",
    "length in words": request(None, "Content-Length: two") + b"{}",
    "two lengths": request(None, "Content-Length: 2", "Content-Length: 3") + b"{} ",
    "length and chunks": request(None, "Content-Length: 2", "Transfer-Encoding: chunked")
    + b"2\r\n{}\r\n0\r\n\r\n",
    "coding that is not known": request(None, "Transfer-Encoding: wondrous") + b"{}",
    "chunked twice": request(None, "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "bad chunk size": request(None, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": request(None, "Transfer-Encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk longer than said": request(None, "Transfer-Encoding: chunked") + b"1\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_is_answered_as_json_and_closed(running: Server, name: str) -> None:
    with connected(running.port) as connection:
        connection.send(MALFORMED[name])
        check_error(connection.answer(), 400, "bad_request")
        assert connection.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        GET + b"Host: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        GET + b"Host: a\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(2000)) + b"\r\n",
    ],
    ids=["long-header", "long-target", "many-headers"],
)
def test_a_head_that_is_too_large_is_refused(running: Server, head: bytes) -> None:
    with connected(running.port) as connection:
        connection.send(head)
        check_error(connection.answer(), 431, "headers_too_large")
        assert connection.is_closed()


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(running: Server) -> None:
    for part in (GET[:9], request(None, "Content-Length: 100") + b"{", request(GOOD)):
        for _ in range(5):
            with connected(running.port) as connection:
                connection.send(part)

    assert running.predict(GOOD).status == 200


def test_http_1_0_is_answered_and_closed(running: Server) -> None:
    with connected(running.port) as connection:
        connection.send(request(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = connection.answer()
        assert answer.json["prediction"] == 1
        assert answer.headers["Connection"] == "close"
        assert connection.is_closed()


def test_http_1_0_may_stay(running: Server) -> None:
    data = request(GOOD, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")

    with connected(running.port) as connection:
        for _ in range(2):
            connection.send(data)
            assert connection.answer().headers["Connection"] == "keep-alive"


def test_a_connection_serves_many_requests(running: Server) -> None:
    with connected(running.port) as connection:
        for data, status in [
            (request(GOOD), 200),
            (request({"features": [1]}), 422),
            (request(None, method="GET", target="/nothing"), 404),
            (request(GOOD), 200),
        ]:
            connection.send(data)
            answer = connection.answer()
            assert answer.status == status
            assert "Connection" not in answer.headers


def test_a_client_that_asks_to_close_is_closed(running: Server) -> None:
    with connected(running.port) as connection:
        connection.send(request(GOOD, "Connection: close"))
        assert connection.answer().headers["Connection"] == "close"
        assert connection.is_closed()


def test_pipelined_requests_are_answered_in_order(running: Server) -> None:
    kinds = [
        (GOOD, "/predict", 200),
        (GOOD, "/predict?version=v2", 200),
        ({}, "/predict", 422),
        (GOOD, "/nothing", 404),
    ] * 25

    with connected(running.port) as connection:
        connection.send(
            b"".join(
                request(content, f"X-Request-Id: id-{number}", target=target)
                for number, (content, target, _) in enumerate(kinds)
            )
        )
        answers = [connection.answer() for _ in kinds]

    assert [answer.headers["X-Request-Id"] for answer in answers] == [
        f"id-{number}" for number in range(100)
    ]
    assert [answer.status for answer in answers] == [status for _, _, status in kinds]


def test_bytes_may_come_one_at_a_time(running: Server) -> None:
    with connected(running.port) as connection:
        for byte in request(GOOD):
            connection.send(bytes([byte]))
        assert connection.answer().json["prediction"] == 1


def test_a_half_closed_peer_still_gets_its_answers(running: Server) -> None:
    with connected(running.port) as connection:
        connection.send(request(GOOD, target="/predict?version=v2") * 3)
        connection.half_close()
        for _ in range(3):
            assert connection.answer().json["prediction"] == 2
        assert connection.is_closed()


def test_clients_that_say_nothing_do_not_keep_others_out(running: Server) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connected(running.port))

        assert running.predict(GOOD).status == 200


@pytest.mark.serial
def test_slow_clients_are_let_go(running: Server) -> None:
    """A first head has 10 s from the start of its connection, a body 10 s from its head."""
    started = time.monotonic()
    with (
        connected(running.port) as silent,
        connected(running.port) as slow_head,
        connected(running.port) as slow_body,
        connected(running.port) as short_body,
    ):
        slow_head.send(GET)
        slow_body.send(request(None, "Content-Length: 100") + b"{")
        short_body.send(request(None, "Content-Length: 100") + b"{")
        short_body.half_close()
        eventually(lambda: time.monotonic() - started > 9, "nine seconds")
        slow_head.send(b"Host: a\r\n")
        assert silent.is_closed()
        assert slow_head.is_closed()
        check_error(slow_body.answer(), 408, "body_timeout")
        check_error(short_body.answer(), 408, "body_timeout")

    assert 9.5 < time.monotonic() - started < 13


def test_idle_connections_are_closed(repository: Server) -> None:
    repository.start(MODELD_KEEPALIVE="1s", MODELD_WORKERS="1", MODELD_MAX_CONNECTIONS="8")
    repository.wait_until_live("v1")

    with connected(repository.port) as idle:
        idle.send(request(GOOD))
        assert idle.answer().status == 200
        assert idle.is_closed()


def test_at_the_cap_the_longest_idle_connection_makes_room(repository: Server) -> None:
    repository.start(MODELD_WORKERS="1", MODELD_MAX_CONNECTIONS="8")
    repository.wait_until_live("v1")

    with ExitStack() as stack:
        oldest = stack.enter_context(connected(repository.port))
        oldest.send(request(GOOD))
        assert oldest.answer().status == 200
        for _ in range(8):
            other = stack.enter_context(connected(repository.port))
            other.send(request(GOOD))
            assert other.answer().status == 200
        assert oldest.is_closed()


# Other routes


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_predict_takes_post_alone(running: Server, method: str) -> None:
    answer = running.call(method, "/predict")

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    if method != "HEAD":
        check_error(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "target", ["/nothing", "/predict/", "//predict", "/Predict", "/healthz/x", "/%00", "/adminx"]
)
def test_an_unknown_path_is_a_404(running: Server, target: str) -> None:
    check_error(running.call("POST", target, json.dumps(GOOD)), 404, "not_found")


@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
def test_health_is_one_word_and_one_sentence(running: Server, target: str) -> None:
    eventually(lambda: "Serving v1" in running.get(target).json["summary"], "the summary")
    answer = running.get(target)

    assert answer.status == 200
    assert set(answer.json) == {"status", "summary"}
    assert answer.json["status"] == "ok"
    assert running.call("HEAD", target).body == b""


def test_metrics_count_what_was_answered(running: Server) -> None:
    def count(outcome: str) -> float:
        lines = running.get("/metrics").body.decode().splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith("model_prediction_requests_total{")
            and 'version="v2"' in line
            and f'outcome="{outcome}"' in line
        )

    before = count("ok"), count("client_error")
    for _ in range(6):
        running.predict(GOOD, "?version=v2")
        running.predict({}, "?version=v2")

    assert (count("ok"), count("client_error")) == (before[0] + 6, before[1] + 6)


def test_no_file_outside_the_models_is_a_version(running: Server, tmp_path: Path) -> None:
    (running.models / "linked").symlink_to(tmp_path)

    check_error(running.predict(GOOD, "?version=linked"), 404, "version_not_found")
