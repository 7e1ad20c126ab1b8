"""An answer that is still to come, told by a plain call.

What an asyncio future says goes by way of the loop: a callback to schedule and another
turn, for as long as a small model takes to answer. The answers of one batch or one turn
come together anyway, so they are told one after the other as they are known.
"""

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from modeld.http.wire import Predictions
from modeld.log import get_logger

log = get_logger()


class Later:
    """What a prediction waits for. Has the words of a future, and one callback."""

    __slots__ = ("_answer", "_call", "_is_done")

    def __init__(self) -> None:
        self._is_done = False
        self._answer: Predictions | BaseException
        self._call: Callable[[Later], None] | None = None

    def done(self) -> bool:
        """Tell whether nobody waits any more: it was answered, it failed or it was cancelled."""
        return self._is_done

    def settle(self, answer: Predictions | BaseException) -> None:
        """Answer, or say why there is no answer; where nobody waits any more, do nothing."""
        if self._is_done:
            return
        self._is_done = True
        self._answer = answer
        # Kept, it would hold whoever asked, who holds this.
        call, self._call = self._call, None
        if call is None:
            return
        try:
            call(self)
        except Exception:
            # A defect of ours in telling one must not keep the others of its batch untold.
            log.exception("predict.untold")

    def cancel(self) -> None:
        """Say that nobody waits for it any more."""
        self.settle(asyncio.CancelledError())

    def result(self) -> Predictions:
        """Give the answer, or raise why there is none."""
        if isinstance(self._answer, BaseException):
            # It may be that of a whole batch: raised again and again, it would gather tracebacks.
            raise self._answer.with_traceback(None)
        return self._answer

    def add_done_callback(self, call: "Callable[[Later], None]") -> None:
        """Have `call` called once it is done, which it must not be yet."""
        self._call = call

    def __await__(self) -> Generator[Any, None, Predictions]:
        """Wait in a task; when that is cancelled, nobody waits any more."""
        if not self._is_done:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._call = partial(_wake, told)
            try:
                yield from told
            finally:
                self._is_done = True
        return self.result()


def _wake(told: asyncio.Future[None], _: Later) -> None:
    if not told.done():
        told.set_result(None)
