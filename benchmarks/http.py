"""Send single requests to this machine, for what is not a measurement of load."""

import contextlib
import http.client
import json
from typing import Any

_SECONDS = 150.0


def post(port: int, target: str, content: Any) -> tuple[int, bytes]:
    """Post JSON; gives the status and the body.

    Raises:
        OSError: there was no answer, or none that is HTTP.
    """
    return _send(port, "POST", target, json.dumps(content))


def get(port: int, target: str) -> tuple[int, bytes]:
    """Get a target; gives the status and the body."""
    return _send(port, "GET", target, None)


def _send(port: int, method: str, target: str, body: str | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"not an answer: {error!r}") from error
