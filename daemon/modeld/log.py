"""Write what happens to stderr, one line for each event.

An event is a short dotted word with values beside it (`state.applied blob=ab12
active=v3`), never prose: people read it, programs search it. Warnings and errors
that libraries report through `logging` come out the same way, with the name of
their logger as the event.

A line stays one line whatever a value holds, so that no input can forge a second
one. Losing a line is better than stopping a server: a reader of stderr that is
gone or stuck costs lines, which are counted, and neither raises nor blocks.

The newest events can be kept in memory too, for whoever looks into what was decided and why.

No library does this, because every process of ours imports it: structlog took an eighth of
what a worker's imports take (ADR 0006).
"""

import json
import logging
import math
import os
import re
import select
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO, cast

HIDDEN: Final = "[hidden]"

_SECRET_WORDS: Final = frozenset({"token", "tokens", "authorization", "password", "secret"})
_WORD: Final = re.compile(r"[a-z0-9]+")
_NEEDS_NO_QUOTES: Final = re.compile(r"[^\s\"'=\\]+")
_DEEPEST: Final = 8
_LARGEST_INT_BITS: Final = 64

# If a pipe has any room, it has room for this much.
_CHUNK_BYTES: Final = 4096

_FIRST: Final = ("level", "event")
_LEVELS: Final = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))

# What is kept must not grow with a traceback, or with a message that somebody else wrote.
_LONGEST_KEPT: Final = 2000

RETOLD: Final = "kept."
"""How the names of events begin that tell what was kept: these are not kept again."""

_Scalar = bool | int | float | str | None
_Plain = _Scalar | list["_Plain"] | dict[str, "_Plain"]


class Logger:
    """Writes events, each with its values."""

    def info(self, event: str, **values: object) -> None:
        """Write what happened."""
        _tell(logging.INFO, event, values)

    def warning(self, event: str, **values: object) -> None:
        """Write what somebody should look at."""
        _tell(logging.WARNING, event, values)

    def error(self, event: str, exc_info: BaseException | None = None, **values: object) -> None:
        """Write what went wrong, with the traceback of an exception."""
        _tell(logging.ERROR, event, values, exc_info)

    def exception(self, event: str, **values: object) -> None:
        """Write what went wrong, with the traceback of the exception that is being handled."""
        _tell(logging.ERROR, event, values, sys.exc_info()[1])


_logger = Logger()


def get_logger() -> Logger:
    """Give the logger."""
    return _logger


_Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Setup:
    """How events are written. Without `lines`, to what stderr is at the time."""

    lines: "_Lines | None" = None
    is_json: bool = False
    least: int = logging.INFO


_setup = _Setup()
_kept: deque[_Event] = deque(maxlen=0)


def configure(
    log_format: str, *, stream: TextIO | None = None, keeps: int = 0, is_quiet: bool = False
) -> None:
    """Write events as `text` or `json` from now on, to stderr unless another stream is given.

    The newest `keeps` of them stay in memory. Where it `is_quiet`, warnings and errors alone
    are written.
    """
    global _setup, _kept  # noqa: PLW0603  # the log is one for the process, as its stream is
    least = logging.WARNING if is_quiet else logging.INFO
    _setup = _Setup(_Lines(stream or sys.stderr), log_format == "json", least)
    _kept = deque(maxlen=keeps)
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries(logging.WARNING))


def _tell(
    level: int, name: str, values: Mapping[str, object], error: BaseException | None = None
) -> None:
    """Write an event, and keep it."""
    setup = _setup
    if level < setup.least:
        return
    event = {"level": _word(level), "event": _text(name), **cast(_Event, _plain(values))}
    if error is not None:
        event["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    _keep(event)
    (setup.lines or _Lines(sys.stderr)).put(_json(event) if setup.is_json else _line(event))


def _word(level: int) -> str:
    return next((word for least, word in _LEVELS if level >= least), "debug")


def _keep(event: _Event) -> None:
    """Keep a copy of an event, from which secrets are gone already."""
    if not str(event["event"]).startswith(RETOLD):
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        _kept.append({"at": at} | {key: _shortened(value) for key, value in event.items()})


def kept() -> list[dict[str, object]]:
    """Give the newest events, oldest first."""
    return list(_kept)


def _shortened(value: object) -> object:
    is_long = isinstance(value, str) and len(value) > _LONGEST_KEPT
    return f"{str(value)[:_LONGEST_KEPT]}…" if is_long else value


def _json(event: _Event) -> str:
    """Write one JSON object; everything outside ASCII is escaped."""
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    text = json.dumps({"timestamp": at, **event}, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f")


def _line(event: _Event) -> str:
    """Write `HH:MM:SS level event key=value …`."""
    first = f"{time.strftime('%H:%M:%S')} {event['level']} {event['event']}"
    pairs = [f"{key}={_quoted(value)}" for key, value in event.items() if key not in _FIRST]
    return _escaped(" ".join([first, *pairs]))


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

    def put(self, line: str) -> None:
        """Put a line, and tell how many were lost before it."""
        with self._lock:
            # A line lost half-way left its first half behind.
            start = "\n" if self._lost else ""
            if not self._put(f"{start}{line}\n"):
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
        if lost:
            _logger.warning("log.lines_lost", lines=lost)

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
        error = record.exc_info[1] if record.exc_info else None
        _tell(record.levelno, record.name, {"message": message}, error)
