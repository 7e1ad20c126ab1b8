"""Follow server-sent events over a plain connection."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_SECONDS = 20.0


@dataclass
class Events:
    """One stream of events, read line by line."""

    answer: http.client.HTTPResponse
    seen: list[tuple[str, Any]] = field(default_factory=list)

    def next(self) -> tuple[str, Any] | None:
        """Read the next event; `None` at the end of the stream."""
        name = ""
        while line := self.answer.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                self.seen.append((name, json.loads(text.removeprefix("data: "))))
                return self.seen[-1]
        return None

    def until(self, name: str, is_it: Callable[[Any], bool] = lambda _: True) -> Any:
        """Read until an event of that name is the one."""
        end = time.monotonic() + _SECONDS
        while event := self.next():
            if event[0] == name and is_it(event[1]):
                return event[1]
            assert time.monotonic() < end, f"no such {name}: {self.seen[-3:]}"
        raise AssertionError(f"the stream ended before such {name}")

    def rest(self) -> None:
        """Read to the end; raises where the stream breaks off."""
        while self.next():
            pass


@contextmanager
def following(port: int, headers: Mapping[str, str] | None = None) -> Iterator[Events]:
    """Follow the events of a server."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with following_on(connection, headers) as events:
        yield events


@contextmanager
def following_on(
    connection: http.client.HTTPConnection, headers: Mapping[str, str] | None = None
) -> Iterator[Events]:
    """Follow the events at the other end of a connection."""
    connection.request("GET", "/admin/events", headers=dict(headers or {}))
    # The answer owns the socket, since the connection ends with it.
    with connection.getresponse() as answer:
        yield Events(answer)
