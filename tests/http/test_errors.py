import inspect
import json
import re

import orjson
import pytest

from modeld import errors
from modeld.errors import ModeldError, snake_case
from modeld.http.errors import body_of, error_of, headers_of, status_of


def descendants(kind: type[ModeldError]) -> list[type[ModeldError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in descendants(child))]


ALL = [kind for kind in descendants(ModeldError) if kind.__module__ == "modeld.errors"]
every_error = pytest.mark.parametrize("kind", ALL, ids=[kind.__name__ for kind in ALL])


def made(kind: type[ModeldError], message: str = "it went wrong") -> ModeldError:
    if issubclass(kind, errors.MethodNotAllowed):
        return kind(message, ("GET", "HEAD"))
    return kind(message)


# The rule of the module's docstring, written out for every error that leaves the server.
STATUSES = {
    400: ["BadRequest", "EmptyBody", "BadJson", "DuplicateKey"],
    401: ["Unauthorized"],
    403: ["AccessError", "Forbidden", "HostNotAllowed", "CrossSite"],
    404: ["VersionNotFound", "ModelNotFound", "NotFound"],
    405: ["MethodNotAllowed"],
    408: ["BodyTimeout"],
    409: [
        *("WishError", "StateMissing", "StateEmpty", "StateUnreadable", "Invalid"),
        *("NewerSchema", "StateConflict", "VersionHeld", "Superseded", "Refused"),
        *("GitError", "GitDiverged", "GitDetached", "GitConflict", "GitUnverified"),
        "GitUrlRefused",
    ],
    412: ["PreconditionFailed"],
    413: ["TooManyRows", "BodyTooLarge"],
    415: ["UnsupportedContentEncoding", "UnsupportedCharset", "UnsupportedMediaType"],
    417: ["UnsupportedExpectation"],
    422: [
        *(
            "VersionError",
            "InvalidVersionName",
            "ArtifactNotReady",
            "EnvironmentNotBuilt",
            "LfsPointer",
        ),
        *("ManifestInvalid", "DigestMismatch", "BytesChanged", "NotTrusted", "UnknownFormat"),
        *("VersionExists", "RepositoryNotWritable"),
        *(
            "LoadFailed",
            "HostDied",
            "SamplesDiffer",
            "CompileFailed",
            "RequestError",
            "WrongType",
            "WrongShape",
        ),
        *("MissingField", "UnknownField", "ConflictingFields", "EmptyBatch", "OutOfRange"),
        *("NoProbabilities", "InvalidParameter", "TableInvalid"),
    ],
    431: ["HeadersTooLarge"],
    500: [
        *("ModeldError", "ConfigError", "ModelError", "ModelCrashed", "ModelOutputInvalid"),
        "InternalError",
    ],
    503: [
        *("BusyError", "NotReady", "Overloaded", "TooManyStreams", "Draining", "PublishFailed"),
        *("RuntimeUnwritable", "StateNotWritable", "GitUnavailable"),
    ],
    504: ["DeadlineExceeded", "LoadTimeout", "WaitTimeout"],
}


@every_error
def test_every_error_has_the_status_of_its_kind(kind: type[ModeldError]) -> None:
    (expected,) = [status for status, names in STATUSES.items() if kind.__name__ in names]

    assert status_of(made(kind)) == expected


@every_error
def test_every_error_can_be_made_again_from_its_code(kind: type[ModeldError]) -> None:
    """That is how it crosses from one process to another."""
    error = made(kind)

    again = error_of(error.code, str(error))

    assert str(again) == str(error)
    if kind is errors.MethodNotAllowed:
        assert isinstance(again, errors.NotFound)
    else:
        assert type(again) is kind
        assert status_of(again) == status_of(error)


@every_error
def test_every_error_has_a_body_of_one_form(kind: type[ModeldError]) -> None:
    error = made(kind)

    content = json.loads(body_of(error, "abc"))

    assert content == {"error": "it went wrong", "code": error.code, "request_id": "abc"}
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert snake_case(error.reason) == error.code


@every_error
def test_what_may_be_tried_again_says_when(kind: type[ModeldError]) -> None:
    error = made(kind)

    assert ("Retry-After" in headers_of(error)) is (status_of(error) == 503)


def test_codes_are_unique() -> None:
    assert len({made(kind).code for kind in ALL}) == len(ALL)


def test_all_errors_are_in_one_module() -> None:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

    assert set(found) >= set(ALL)


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.Unauthorized("who?"), "WWW-Authenticate", "Bearer"),
        (errors.MethodNotAllowed("no", ("GET", "HEAD")), "Allow", "GET, HEAD"),
        (errors.Overloaded("busy"), "Retry-After", "1"),
    ],
)
def test_some_statuses_ask_for_a_header(error: ModeldError, header: str, value: str) -> None:
    assert headers_of(error)[header] == value


@pytest.mark.parametrize("code", ["", "no_such_code", "InternalError", "__init__", "modeld"])
def test_an_unknown_code_is_an_error_of_ours(code: str) -> None:
    error = error_of(code, "what?")

    assert type(error) is errors.InternalError
    assert str(error) == "what?"


@pytest.mark.parametrize("kind", [errors.VersionNotFound, errors.ModelNotFound])
def test_what_is_known_instead_travels_too(kind: type[errors.VersionNotFound]) -> None:
    error = error_of(kind("no such", ("v1", "v2")).code, "no such", ("v1", "v2"))

    assert type(error) is kind
    assert json.loads(body_of(error, "abc"))["known"] == ["v1", "v2"]


@pytest.mark.parametrize("text", ["ü 😀", 'a "quoted" word', "a\nline", "half \ud800", "\udcff"])
def test_a_body_is_json_whatever_the_message_quotes(text: str) -> None:
    """A header that is no UTF-8 comes as lone surrogates, and messages quote headers."""
    content = orjson.loads(body_of(errors.BadRequest(text), "abc"))

    assert content["code"] == "bad_request"


def test_a_refusal_of_the_wish_names_its_line() -> None:
    assert str(errors.Invalid("no such key", 7)) == "line 7: no such key"
