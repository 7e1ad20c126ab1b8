"""Say on standard output what is live, and give a line that works."""

import asyncio
import contextlib
from shlex import quote

from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.status import Status
from modeld.control.supervisor import Supervisor
from modeld.domain import DEFAULT_MODEL

_PATIENCE_SECONDS = 15.0


class Greeting:
    """What somebody reads who has just started the server at `url`."""

    def __init__(
        self,
        url: str,
        progress: Progress,
        publisher: Publisher,
        supervisor: Supervisor,
        status: Status,
    ) -> None:
        self._url = url
        self._progress = progress
        self._publisher = publisher
        self._supervisor = supervisor
        self._status = status

    async def say(self) -> None:
        """Wait a while until something serves, and say how it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not (self._publisher.live and self._supervisor.members()):
                    await self._progress.changed()
        print(f"modeld on {self._url}: {self._status.summary()}", flush=True)  # noqa: T201
        live = self._publisher.live.get(DEFAULT_MODEL)
        if live is not None:
            body = f'{{"features": {live.loaded.example}}}'
            print(f"Try: curl {self._url}/predict -d {quote(body)}", flush=True)  # noqa: T201
