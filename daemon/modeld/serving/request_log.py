"""Log a sample of the requests: what was asked for, and what became of it.

A line has the path and no query, and neither headers nor bodies: rows and secrets are in
those. While it is off there is no object at all, so that a lane pays for one comparison.
"""

import time
from random import random

from modeld.log import get_logger
from modeld.serving.predictor import Reply

log = get_logger()

_LONGEST_PATH = 200


class RequestLog:
    """Logs about this fraction of the requests."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def note(self, method: str, path: str, reply: Reply, request_id: str, started: float) -> None:
        """Log a request that was answered, if it is drawn; `started` is by the timer."""
        if random() >= self._fraction:  # noqa: S311  # a sample guards nothing
            return
        log.info(
            "http.request",
            method=method[:_LONGEST_PATH],
            path=path[:_LONGEST_PATH],
            status=reply.status,
            milliseconds=round((time.perf_counter() - started) * 1e3, 3),
            version=reply.headers.get("X-Model-Version", ""),
            request_id=request_id,
        )


def request_log(fraction: float) -> RequestLog | None:
    """Make the log of requests, unless it is off."""
    return RequestLog(fraction) if fraction > 0 else None
