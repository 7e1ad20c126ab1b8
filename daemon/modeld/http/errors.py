"""Turn errors into HTTP answers. The only place that knows a status for each.

400 cannot be parsed · 401/403 who is asking · 404 no such thing · 409/412 conflict ·
408/413/415/417/431 limits · 422 parsed but unacceptable · 429/503 too busy, with
Retry-After · 500 the model failed · 504 out of time.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

from modeld import errors
from modeld.errors import ModeldError

_STATUSES: dict[type[ModeldError], int] = {
    ModeldError: 500,
    errors.ConfigError: 500,
    errors.WishError: 409,
    errors.PreconditionFailed: 412,
    errors.StateNotWritable: 503,
    errors.VersionError: 422,
    errors.VersionNotFound: 404,
    errors.ModelNotFound: 404,
    errors.LoadTimeout: 504,
    errors.GitError: 409,
    errors.GitUnavailable: 503,
    errors.TableInvalid: 422,
    errors.RequestError: 422,
    errors.BadRequest: 400,
    errors.EmptyBody: 400,
    errors.BadJson: 400,
    errors.DuplicateKey: 400,
    errors.TooManyRows: 413,
    errors.BodyTooLarge: 413,
    errors.HeadersTooLarge: 431,
    errors.BodyTimeout: 408,
    errors.UnsupportedContentEncoding: 415,
    errors.UnsupportedCharset: 415,
    errors.UnsupportedMediaType: 415,
    errors.UnsupportedExpectation: 417,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Superseded: 409,
    errors.Refused: 409,
    errors.WaitTimeout: 504,
    errors.BusyError: 503,
    errors.DeadlineExceeded: 504,
    errors.ModelError: 500,
    errors.Unauthorized: 401,
    errors.AccessError: 403,
}
_RETRY_AFTER_SECONDS = "1"


def status_of(error: ModeldError) -> int:
    """Give the HTTP status of an error: that of its nearest class in the table."""
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


def body_of(
    error: ModeldError, request_id: str, more: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Write the JSON body: message, stable code and the id of the request."""
    content: dict[str, object] = {
        "error": str(error),
        "code": error.code,
        "request_id": request_id,
        **more,
    }
    known = getattr(error, "known", ())
    if known:
        content["known"] = list(known)
    # A message may quote a header or a file name, whose strange bytes are no UTF-8; as escapes
    # they would be half characters, which strict JSON parsers refuse.
    return json.dumps(content, ensure_ascii=False).encode(errors="replace") + b"\n"


def headers_of(error: ModeldError) -> dict[str, str]:
    """Give the headers that an error's status asks for."""
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.MethodNotAllowed):
        return {"Allow": ", ".join(error.allow)}
    if status_of(error) == 503:
        return {"Retry-After": _RETRY_AFTER_SECONDS}
    return {}


def error_of(code: str, message: str, known: tuple[str, ...] = ()) -> ModeldError:
    """Make the error again that another process put into a code and a message."""
    kind = _BY_CODE.get(code, errors.InternalError)
    if issubclass(kind, errors.VersionNotFound | errors.ModelNotFound):
        return kind(message, known)
    if issubclass(kind, errors.MethodNotAllowed):
        return errors.NotFound(message)
    return kind(message)


def _descendants(kind: type[ModeldError]) -> list[type[ModeldError]]:
    return [kind, *(d for child in kind.__subclasses__() for d in _descendants(child))]


_BY_CODE = {errors.snake_case(kind.__name__): kind for kind in _descendants(ModeldError)}
