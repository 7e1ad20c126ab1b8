"""Write what happens to stderr, one line for each event.

An event is a short dotted word with values beside it (`state.applied blob=ab12
active=v3`), never prose: people read it, programs search it. Warnings and errors
that libraries report through `logging` come out the same way, with the name of
their logger as the event.

A line stays one line whatever a value holds, so that no input can forge a second
one. Losing a line is better than stopping a server: a reader of stderr that is
gone or stuck costs lines, which are counted, and neither raises nor blocks.

The newest events can be kept in memory too, for whoever looks into what was decided and why.
"""

import json
import logging
import math
import os
import re
import select
import sys
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

HIDDEN: Final = "[hidden]"

_SECRET_WORDS: Final = frozenset({"token", "tokens", "authorization", "password", "secret"})
_WORD: Final = re.compile(r"[a-z0-9]+")
_NEEDS_NO_QUOTES: Final = re.compile(r"[^\s\"'=\\]+")
_DEEPEST: Final = 8
_LARGEST_INT_BITS: Final = 64

# If a pipe has any room, it has room for this much.
_CHUNK_BYTES: Final = 4096

_LEVELS: Final = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))

# What is kept must not grow with a traceback, or with a message that somebody else wrote.
_LONGEST_KEPT: Final = 2000

RETOLD: Final = "kept."
"""How the names of events begin that tell what was kept: these are not kept again."""

_Scalar = bool | int | float | str | None
_Plain = _Scalar | list["_Plain"] | dict[str, "_Plain"]


def get_logger(name: str = "") -> FilteringBoundLogger:
    """Give a logger; a name is written beside each of its events as `component`."""
    bound = {"component": name} if name else {}
    return cast(FilteringBoundLogger, structlog.get_logger(**bound))


_kept: deque[dict[str, object]] = deque(maxlen=0)


def configure(
    log_format: str, *, stream: TextIO | None = None, keeps: int = 0, is_quiet: bool = False
) -> None:
    """Write events as `text` or `json` from now on, to stderr unless another stream is given.

    The newest `keeps` of them stay in memory. Where it `is_quiet`, warnings and errors alone
    are written.
    """
    global _kept  # noqa: PLW0603  # the log is one for the process, as its stream is
    is_json = log_format == "json"
    _kept = deque(maxlen=keeps)
    lines = _Lines(stream or sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S", utc=is_json),
            structlog.processors.format_exc_info,
            make_plain,
            keep,
            render_json if is_json else render_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.WARNING if is_quiet else logging.INFO
        ),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries(logging.WARNING))


def make_plain(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Turn all values into what JSON knows, without the secrets."""
    return cast(EventDict, _plain(event))


def keep(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep a copy of an event, from which secrets are gone already."""
    if not str(event.get("event", "")).startswith(RETOLD):
        first = {key: event[key] for key in ("level", "event") if key in event}
        rest = {key: _shortened(value) for key, value in event.items() if key != "timestamp"}
        _kept.append({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **first, **rest})
    return event


def kept() -> list[dict[str, object]]:
    """Give the newest events, oldest first."""
    return list(_kept)


def _shortened(value: object) -> object:
    is_long = isinstance(value, str) and len(value) > _LONGEST_KEPT
    return f"{str(value)[:_LONGEST_KEPT]}…" if is_long else value


def render_json(_logger: object, _method: str, event: EventDict) -> str:
    """Write one JSON object; everything outside ASCII is escaped."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return json.dumps({**first, **event}, separators=(",", ":")).replace("\x7f", "\\u007f")


def render_text(_logger: object, _method: str, event: EventDict) -> str:
    """Write `HH:MM:SS level event key=value …`."""
    first = [str(event.pop(key)) for key in ("timestamp", "level", "event") if key in event]
    pairs = [f"{key}={_quoted(value)}" for key, value in event.items()]
    return _escaped(" ".join(first + pairs))


def _plain(value: object, depth: int = 0) -> _Plain:
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            _text(key): HIDDEN if _is_secret(_text(key)) else _plain(one, depth + 1)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one, depth + 1) for one in value]
    return _plain_scalar(value)


def _plain_scalar(value: object) -> _Scalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LARGEST_INT_BITS else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # whatever a value's own code raises, its line must still be written
        return f"<{type(value).__name__}>"


def _is_secret(key: str) -> bool:
    return not _SECRET_WORDS.isdisjoint(_WORD.findall(key.lower()))


def _quoted(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


class _Lines:
    """The end of the road: puts finished lines on a stream, or counts those it cannot."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._lost = 0

    def msg(self, line: str) -> None:
        """Put a line, and tell how many were lost before it."""
        with self._lock:
            # A line lost half-way left its first half behind.
            start = "\n" if self._lost else ""
            if not self._put(f"{start}{line}\n"):
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
        if lost:
            get_logger().warning("log.lines_lost", lines=lost)

    debug = info = warning = error = critical = exception = msg

    def _put(self, text: str) -> bool:
        stream = self._stream
        if stream is None:
            return False
        try:
            try:
                descriptor = stream.fileno()
            except (AttributeError, OSError):
                stream.write(text)
                stream.flush()
                return True
            return _write(descriptor, text.encode())
        except (OSError, ValueError):  # the reader is gone, or the stream is closed
            return False


def _write(descriptor: int, left: bytes) -> bool:
    """Write as far as there is room. Waiting for room would stop the event loop."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    while left:
        if not poll.poll(0):
            return False
        left = left[os.write(descriptor, left[:_CHUNK_BYTES]) :]
    return True


class _FromLibraries(logging.Handler):
    """Makes an event of each record that a library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as an event; a message that cannot be formatted stays raw."""
        try:
            message = record.getMessage()
        except Exception:  # a library's mistake in a log call must not become ours
            message = _text(record.msg)
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        log = getattr(get_logger(), level)
        log(record.name, message=message, exc_info=record.exc_info)
