"""Own an accepted socket from its first byte to its last.

Each request decides for itself: the express lane answers it, or its bytes go to
aiohttp's handler, which is made when it is first needed. The connection knows where a
request that it hands over ends, holds back what comes behind it, and goes on by itself
when the handler is idle again. Where the end is in doubt, the handler gets everything
from there on.

Requests are taken one after the other, so answers keep their order; a turn of the loop
takes a few only, and nothing is taken while the peer does not read its answers.

Time-outs, caps and draining are decided here. aiohttp has no timer before a first
complete head and, when told to stop, drops a request per open connection; both are
cured here.
"""

import asyncio
import time
from typing import TYPE_CHECKING, cast

from modeld.domain import WorkerSettings
from modeld.http.head import MAX_HEAD, may_become_head, read_head
from modeld.http.wire import Predictions
from modeld.serving.express import Express
from modeld.serving.handler import Handler
from modeld.serving.later import Later
from modeld.serving.outbox import Outlet

if TYPE_CHECKING:
    from modeld.serving.connections import Connections

_DRAIN_IDLE_SECONDS = 1.0
_BODY_PATIENCE_SECONDS = 0.2
_REQUESTS_PER_TURN = 32
_SECONDS_PER_TURN = 0.002
_MOST_UNREAD = 1 << 17
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One accepted socket."""

    def __init__(self, connections: "Connections") -> None:
        self._all = connections
        self._express = connections.express
        self._inner: Handler | None = None
        self._outlet: Outlet
        self.transport: asyncio.Transport
        self.last_byte = self.head_since = self.writing_paused_since = 0.0
        self._has_ended = False
        self._unread = b""
        self._takes_all = self._express is None
        """Whether aiohttp gets everything, because the end of what it has is not known."""
        self._owed = 0
        """How many bytes of a body aiohttp has still to get."""
        self._lacking = 0
        """The length of a request that the lane has not got the whole body of, else 0."""
        self._lacking_since = 0.0
        self._is_last = False
        """Whether nothing had come behind the request that was taken last."""
        self._later: Later | asyncio.Future[Predictions] | None = None
        self._next_turn: asyncio.Handle | None = None
        self._has_paused = False

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to count the time that a first head may take."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self._outlet = Outlet(transport, self._all.outbox, self._soon)
        self.last_byte = self.head_since = self._all.now()
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Take what may be taken now, and keep the rest."""
        self.last_byte = self._all.now()
        if self._takes_all:
            self._forward(data)
        elif not self._outlet.has_closed:
            self._unread += data
            if self._next_turn is None:
                self._advance()
            else:
                self._pause_or_resume()

    def eof_received(self) -> bool:
        """Keep a half-closed connection until its requests are answered, if that has an end."""
        self._has_ended = True
        if self._lacking:
            self._hand_over()
        if self._inner is not None:
            self._inner.eof_received()
        self._outlet.flush()
        return self._is_busy() and not (self._inner is not None and self._inner.is_followed())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp and forget the connection."""
        self._outlet.has_closed = True
        self._unread = b""
        self._all.discard(self)
        if self._later is not None:
            self._later.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read: note since when."""
        self.writing_paused_since = self._all.now()
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.writing_paused_since = 0.0
        if self._inner is not None:
            self._inner.resume_writing()
        self._soon()

    # What the sweep asks

    def is_idle(self) -> bool:
        """Tell whether no request is being read or answered."""
        return not (self.head_since or self._unread or self._is_busy())

    def overdue(self, now: float, settings: WorkerSettings, *, is_draining: bool) -> bool:
        """Tell whether the connection has used up one of its times."""
        if self.writing_paused_since:
            return now - self.writing_paused_since > settings.write_timeout
        if self._is_busy():
            return False
        if self._has_ended:
            return True
        if self.head_since and now - self.head_since > settings.head_timeout:
            return True
        idle = _DRAIN_IDLE_SECONDS if is_draining else settings.keepalive
        return now - self.last_byte > idle

    def nudge(self, now: float) -> None:
        """Go on where nothing else says so; leave a body that is slow to come to aiohttp."""
        if self._lacking and now - self._lacking_since > _BODY_PATIENCE_SECONDS:
            self._hand_over()
        elif self._unread and not self._is_busy():
            self._advance()

    def close(self) -> None:
        """Close politely, or at once where the peer does not read."""
        if self.writing_paused_since:
            self._outlet.abort()
        else:
            self._outlet.close()

    # How requests are taken

    def _is_busy(self) -> bool:
        """Tell whether a request is being answered, or one that is complete waits."""
        is_idle = self._inner is None or self._inner.is_idle()
        return not is_idle or self._later is not None or self._next_turn is not None

    def _is_free(self) -> bool:
        """Tell whether the next request may be taken."""
        return not (self._outlet.has_closed or self.writing_paused_since) and (
            self._later is None and (self._inner is None or self._inner.is_idle())
        )

    def _soon(self) -> None:
        """Go on in the next turn of the loop."""
        if self._unread and self._next_turn is None:
            self._next_turn = self._all.call_soon(self._turn)

    def _turn(self) -> None:
        self._next_turn = None
        if self._unread:
            self._advance()

    def _advance(self) -> None:
        """Take requests until one has to be waited for, or the turn is over."""
        unread, at, until = self._unread, 0, time.perf_counter() + _SECONDS_PER_TURN
        for _ in range(_REQUESTS_PER_TURN):
            before, at = at, self._take(unread, at)
            if at in (before, len(unread)) or time.perf_counter() > until:
                break
        self._unread = unread[at:]
        if self._unread:
            self._keep(has_stopped=at == before)
        elif not self._takes_all:
            self.head_since = 0.0
        if self._unread or self._has_paused:
            self._pause_or_resume()

    def _keep(self, *, has_stopped: bool) -> None:
        """Remember to go on with what is left, or since when it is waited for."""
        if not has_stopped:
            self._soon()
        elif self._is_free():
            self.head_since = self.head_since or self._all.now()

    def _pause_or_resume(self) -> None:
        if len(self._unread) > _MOST_UNREAD:
            self._has_paused = True
            self.transport.pause_reading()
        elif self._has_paused:
            self._has_paused = False
            self.transport.resume_reading()

    def _take(self, unread: bytes, at: int) -> int:
        """Take one request, or a part of it; gives where the rest begins."""
        if self._owed:
            return self._pay(unread, at)
        if self._express is None or not self._is_free():
            return at
        return self._take_request(self._express, unread, at)

    def _take_request(self, express: Express, unread: bytes, at: int) -> int:
        end = unread.find(_HEAD_END, at, at + MAX_HEAD)
        if end < 0 and may_become_head(unread[at:]):
            return at
        start = end + len(_HEAD_END)
        head = read_head(unread[at:start]) if end >= 0 else None
        if head is None:
            return self._give_all(unread, at)
        aim = express.aim(head)
        end = start + head.length
        if aim is None:
            self._owed = end - at
            return self._pay(unread, at)
        if len(unread) < end:
            self._lack(end - at)
            return at
        self._lacking = 0
        self._is_last = end == len(unread)
        self._later = express.ask(aim, head, unread[start:end], self._done)
        return end

    def _lack(self, length: int) -> None:
        if not self._lacking:
            self._lacking_since = self._all.now()
        self._lacking = length

    def _done(self, answer: bytes, must_close: bool) -> None:
        # Of one that is answered at once, the bytes are still among those that are unread.
        is_last = self._is_last if self._later is None else not self._unread
        self._later = None
        if is_last:
            self._outlet.write_last(answer)
        else:
            self._outlet.write(answer)
        if must_close:
            self._outlet.close()

    # How aiohttp gets its part

    def _pay(self, unread: bytes, at: int) -> int:
        """Forward what is still due of a request whose end is known."""
        end = min(at + self._owed, len(unread))
        self._owed -= end - at
        self._handler().data_received(unread[at:end])
        return end

    def _give_all(self, unread: bytes, at: int) -> int:
        self._takes_all = True
        self._forward(unread[at:])
        return len(unread)

    def _hand_over(self) -> None:
        """Leave a request whose body is slow to come to aiohttp, which has a time-out for it."""
        self._owed, self._lacking = self._lacking, 0
        self._advance()

    def _forward(self, data: bytes) -> None:
        is_waiting = self._inner is None or self._inner.is_idle()
        inner = self._handler()
        inner.data_received(data)
        if inner.has_requests():
            self.head_since = 0.0
        elif is_waiting:
            self.head_since = self.head_since or self._all.now()

    def _handler(self) -> Handler:
        if self._inner is None:
            self._inner = self._all.make_handler()
            self._inner.connection_made(self._outlet.as_transport())
        return self._inner
