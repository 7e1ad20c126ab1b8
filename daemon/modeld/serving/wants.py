"""Ask the control process for versions that the snapshot does not have."""

import asyncio
from collections.abc import Callable
from itertools import count

from modeld.domain import ModelVersion
from modeld.errors import LoadTimeout
from modeld.http.errors import error_of
from modeld.messages import Message, Want, WantAnswer


class Wants:
    """Requests that wait for a version to be loaded and published."""

    def __init__(self, send: Callable[[Message], None], timeout_seconds: float) -> None:
        self._send = send
        self._timeout = timeout_seconds
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def ask(self, version: ModelVersion) -> None:
        """Return once the version is in the snapshot; raises why it cannot be."""
        number = next(self._numbers)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send(Want(number, version))
        try:
            async with asyncio.timeout(self._timeout):
                await future
        except TimeoutError:
            raise LoadTimeout(f"{version} was not loaded in time") from None
        finally:
            del self._waiting[number]

    def settle(self, answer: WantAnswer) -> None:
        """Take the control process's answer."""
        future = self._waiting.get(answer.id)
        if future is None or future.done():
            return
        if answer.code:
            future.set_exception(error_of(answer.code, answer.message, answer.known))
        else:
            future.set_result(None)
