"""Answer calls that workers pass on, and those that come straight to the control process.

One table from method and path to a function. Everything that is not public is checked
before it is looked at, so that a new route is closed until somebody opens it.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from modeld.errors import (
    BadJson,
    DuplicateKey,
    InternalError,
    InvalidParameter,
    InvalidVersionName,
    MethodNotAllowed,
    ModeldError,
    NotFound,
    NotReady,
    UnsupportedMediaType,
    VersionError,
    WrongType,
)
from modeld.http.auth import AdminAccess, Caller
from modeld.http.errors import body_of, headers_of, status_of
from modeld.log import get_logger

log = get_logger()

_CONFLICTS = (409, 412)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, whatever way it came."""

    method: str
    path: str
    query: Mapping[str, str]
    caller: Caller
    body: bytes
    request_id: str

    def number(self, name: str, default: float, largest: float) -> float:
        """Read a query parameter as a number of seconds; raises `InvalidParameter`."""
        try:
            value = float(self.query.get(name, default))
        except ValueError:
            value = -1.0
        if not 0 <= value <= largest:
            raise InvalidParameter(f"{name} must be a number from 0 to {largest:g}")
        return value

    def content(self) -> dict[str, Any]:
        """Read the body as a JSON object; no key may come twice."""
        content_type = self.caller.headers.get("content-type", "").split(";")[0].strip().lower()
        if content_type != "application/json":
            raise UnsupportedMediaType("send Content-Type: application/json")
        if not self.body:
            return {}
        try:
            content = json.loads(self.body.decode(), object_pairs_hook=_without_duplicates)
            # An escaped half of a character has no UTF-8: neither file nor history could keep it.
            json.dumps(content, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise BadJson(f"the body is not JSON: {error}") from None
        if not isinstance(content, dict):
            raise WrongType("the body must be a JSON object")
        return content


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gives back. With `chunks` it has no body and goes on."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: AsyncGenerator[bytes, None] | None = None


Route = Callable[[Call], Awaitable[Answer]]


def json_answer(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Make an answer of a document."""
    text = json.dumps(content, ensure_ascii=False, indent=2)
    # File names and models' messages in it may hold what UTF-8 cannot.
    body = text.encode(errors="replace") + b"\n"
    return Answer(status, body, headers or {})


class Calls:
    """The table of routes, and who may use them."""

    def __init__(
        self, access: AdminAccess, sentences: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._access = access
        self._sentences = sentences
        self._routes: dict[str, dict[str, Route]] = {}
        self._public: set[str] = set()

    def add(self, method: str, path: str, route: Route, *, is_public: bool = False) -> None:
        """Add a route; a path that ends in `/` takes what follows it as well."""
        self._routes.setdefault(path, {})[method] = route
        if is_public:
            self._public.add(path)

    def paths(self) -> dict[str, tuple[str, ...]]:
        """List all paths with their methods."""
        return {path: tuple(sorted(routes)) for path, routes in sorted(self._routes.items())}

    def is_public(self, path: str) -> bool:
        """Tell whether a path needs no admin rights."""
        return path in self._public

    async def answer(
        self, method: str, target: str, caller: Caller, body: bytes, request_id: str
    ) -> Answer:
        """Answer one call; whatever goes wrong becomes an answer too."""
        path, _, query = target.partition("?")
        try:
            if path == "/predict":
                raise NotReady("no worker is up to predict; admin works")
            if path not in self._public:
                self._access.check(caller)
            route = self._find(method, path)
            parameters = dict(parse_qsl(query, keep_blank_values=True))
            return await route(Call(method, path, parameters, caller, body, request_id))
        except ModeldError as error:
            more = await self._told(error, path)
            return Answer(status_of(error), body_of(error, request_id, more), headers_of(error))
        except Exception as error:
            # The last edge: a defect of ours becomes an answer, and the log has the traceback.
            log.exception("call.failed", path=path, request_id=request_id)
            failure = InternalError(f"{type(error).__name__} inside modeld; the log says more")
            return Answer(500, body_of(failure, request_id))

    async def _told(self, error: ModeldError, path: str) -> Mapping[str, str]:
        """Say beside a refused change what serves, what is wanted and what to do next."""
        is_refused = isinstance(error, VersionError) and not isinstance(error, InvalidVersionName)
        is_told = status_of(error) in _CONFLICTS or (status_of(error) == 422 and is_refused)
        if not (is_told and path.startswith("/admin/")):
            return {}
        return await asyncio.to_thread(self._sentences)

    def _find(self, method: str, path: str) -> Route:
        routes = self._routes.get(path)
        if routes is None and path.count("/") > 1:
            routes = self._routes.get(path[: path.rfind("/") + 1])
        if routes is None:
            raise NotFound("no such route; GET / lists them")
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = tuple(sorted(routes))
            raise MethodNotAllowed(f"{path} takes {' or '.join(allowed)}", allowed)
        return route


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateKey(f'the key "{twice[:80]}" comes twice')
    return content
