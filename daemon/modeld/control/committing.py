"""Keep a queue of the changes that git does not have yet, and work it off in the background.

A change waits in the runtime folder's database until it is in git, so that neither a remote
that is down nor a restart loses it, and no call ever waits for git.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modeld.control.bringing import Bringing, Change, Mode, Outcome
from modeld.control.database import Database
from modeld.control.targets import Target
from modeld.errors import GitUnavailable, ModeldError
from modeld.git.command import without_secret
from modeld.log import get_logger

log = get_logger()

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
_COLUMNS = (
    "number, at, model, version, previous, actor, reason, request_id, hold, expected_blob,"
    " base_commit"
)


class Committing:
    """The queue, and the loop that empties it. `pushed` is told whenever git has changed."""

    def __init__(
        self,
        database: Database,
        mode: Mode,
        target: Target,
        pushed: Callable[[], None] = lambda: None,
    ) -> None:
        self.mode = mode
        self._database = database
        self._target = target
        self._pushed = pushed
        self._wake = asyncio.Event()
        self._bringing = Bringing(mode)
        self.outcome = Outcome("Clean")
        self.retry_at: float | None = None
        self.pending = len(self._waiting())

    def plan(self, change: Change) -> int:
        """Put a change into the queue, on the disk; gives its number. Nothing is done yet."""
        values = (
            *(change.at, change.model, change.version, change.previous, change.actor),
            *(change.reason, change.request_id, change.hold, change.expected_blob),
            change.base_commit,
        )
        names = _COLUMNS.removeprefix("number, ")
        marks = ", ".join("?" * len(values))
        statement = f"INSERT INTO pending_commit ({names}) VALUES ({marks})"  # noqa: S608
        return self._database.write(statement, values)

    def forget(self, number: int) -> None:
        """Take a change out of the queue."""
        self._database.write("DELETE FROM pending_commit WHERE number = ?", (number,))

    def start(self) -> None:
        """Begin with what is in the queue."""
        self.pending = len(self._waiting())
        if self.mode != "never":
            self.outcome = replace(self.outcome, state=f"Pending{self.mode.title()}", message="")
            self._wake.set()

    def _waiting(self) -> list[Change]:
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM pending_commit ORDER BY number")  # noqa: S608
        return [Change(*row) for row in rows]

    def document(self) -> dict[str, Any]:
        """Say how far the queue is."""
        return {
            "mode": self.mode,
            "state": self.outcome.state if self.mode != "never" else "Never",
            "pending": self.pending,
            "commit": self.outcome.commit or None,
            "branch": self.outcome.branch or None,
            "message": self.outcome.message,
            "retry_at": self.retry_at,
        }

    def has(self, blob: str) -> bool:
        """Tell whether git has got a text from here, wherever people's work tree stands."""
        return self._bringing.has(blob)

    async def run(self, is_wanted: Callable[[str, str], bool]) -> None:
        """Commit for ever. What is not wanted at the start was never made, or was overtaken."""
        for change in self._waiting():
            if not await asyncio.to_thread(is_wanted, change.model, change.version):
                await asyncio.to_thread(self.forget, change.number)
        self.pending = len(self._waiting())
        if self.pending:
            self.start()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self._empty():
                pause = _FIRST_PAUSE_SECONDS
            else:
                self.retry_at = time.time() + pause
                await self._wait_or_wake(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                self._wake.set()

    async def _wait_or_wake(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):  # noqa: S311
                await self._wake.wait()
        except TimeoutError:
            return

    async def _empty(self) -> bool:
        """Work the queue off; tells whether that went through."""
        for change in self._waiting():
            try:
                async with self._target.turn:
                    outcome = await asyncio.to_thread(self._bring, change)
            except GitUnavailable as error:
                self._note(replace(self.outcome, message=str(error)))
                return False
            except ModeldError as error:
                outcome = Outcome(error.reason, message=str(error))
            except OSError as error:
                self._note(replace(self.outcome, message=str(error)))
                return False
            await asyncio.to_thread(self.forget, change.number)
            self.pending -= 1
            self._note(outcome)
            self._pushed()
        self.retry_at = None
        return True

    def _note(self, outcome: Outcome) -> None:
        if outcome != self.outcome:
            is_bad = outcome.state not in ("Committed", "Pushed")
            (log.warning if is_bad else log.info)(
                "git.outcome", state=outcome.state, commit=outcome.commit[:10],
                branch=outcome.branch, message=without_secret(outcome.message),
            )  # fmt: skip
        self.outcome = outcome

    def _bring(self, change: Change) -> Outcome:
        return self._bringing.bring(self._target.place(), change)
