"""Make what serves match `state/active.yaml`, whatever happens in between.

Level-triggered: file events, ticks and signals only wake the loop; every pass starts by
reading the file. A text is settled, parsed, loaded and published; whatever goes wrong
keeps the last good version serving. A newer text overtakes an older one that is still
being loaded, and a text equal to the applied one clears every error.
"""

import asyncio
import contextlib
import time
from dataclasses import replace

from modeld.control.applying import Applying
from modeld.control.changes import Cause, Gathered
from modeld.control.judging import Judging
from modeld.control.overlay import Overlay, Override
from modeld.control.progress import Progress
from modeld.control.watching import Watching
from modeld.desired.document import blob_id
from modeld.desired.file import StateDocument
from modeld.domain import ModelVersion
from modeld.errors import StateEmpty, StateMissing, StateUnreadable, Superseded, WishError
from modeld.log import get_logger

log = get_logger()

_GRACE_SECONDS = 5.0
_TICK_SECONDS = 1.0
_SETTLE_SECONDS = 0.025
_UNFINISHED_SECONDS = 0.5


class Reconciler:
    """The loop that makes what runs match the wish."""

    def __init__(
        self, file: Overlay, applying: Applying, progress: Progress, judging: Judging
    ) -> None:
        self._file = file
        self._judging = judging
        self._applying = applying
        self._progress = progress
        self._wake = asyncio.Event()
        self._attempt: asyncio.Task[None] | None = None
        self._attempt_blob = ""
        self._own_blob = ""
        self._gone_since: float | None = None
        self.watching = Watching(lambda: file.mode)

    async def run(self) -> None:
        """Reconcile for ever."""
        hints = asyncio.create_task(self._listen())
        self._wake.set()
        try:
            while True:
                # The tick is the truth; hints only make it quick.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
                try:
                    await self._observe()
                    self.watching.looked()
                except Exception:
                    # The loop must outlive every defect: without it nothing is applied again.
                    log.exception("reconcile.failed")
        finally:
            hints.cancel()
            self._cancel_attempt()

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._file.changes()) as hints:
            async for hint in hints:
                self.watching.heard(hint)
                self._wake.set()

    def wake(self) -> None:
        """Look at the file now."""
        self._wake.set()

    @property
    def override(self) -> Override | None:
        """The text that stands in for the file's, where that could not be written."""
        return self._file.override

    async def drop_override(self, version: ModelVersion) -> bool:
        """End the override of a file that asks for a version; tells whether there was one."""
        if self._file.override is None:
            return False
        asked = await asyncio.to_thread(self._file.beneath)
        wish = asked.model(version.model) if asked else None
        if wish is None or wish.active != version.version:
            return False
        await asyncio.to_thread(self._file.drop, "it was released by a call")
        return True

    def try_again(self) -> None:
        """Try a text that was refused as if it were new."""
        self._cancel_attempt()
        self._progress.forget_refusal()
        self._wake.set()

    async def read(self) -> StateDocument:
        """Read the file; raises `StateMissing`, `StateEmpty` or `StateUnreadable`."""
        return await asyncio.to_thread(self._file.read)

    # One pass

    async def _observe(self) -> None:
        try:
            document = await self.read()
        except (StateMissing, StateEmpty, StateUnreadable) as error:
            await self._note_absence(error)
            return
        self._gone_since = None
        self._progress.present()
        if await self._judging.git_moved():
            self.try_again()
        if self._is_known(document.blob):
            return
        settled = await self._settle(document)
        if settled is None:
            self._wake.set()
        elif not self._is_known(settled.blob):
            self._begin(settled)

    def _is_known(self, blob: str) -> bool:
        """Tell whether nothing is to be done about this text."""
        progress = self._progress
        if blob == self._own_blob:
            return True
        if progress.observed is None or blob != progress.observed.blob:
            return False
        if self._attempt is not None and not self._attempt.done():
            return self._attempt_blob == blob
        is_applied = progress.is_served(blob)
        is_refused = progress.refusal is not None and progress.refusal.blob == blob
        return is_applied or is_refused or progress.is_frozen

    async def _note_absence(self, error: WishError) -> None:
        """A missing file is a condition, after a grace: git unlinks before it creates."""
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
        is_grace = now - self._gone_since < _GRACE_SECONDS and not self._applying.is_first
        if is_grace and not isinstance(error, StateUnreadable):
            return
        self._progress.absent(error)
        await self._applying.fall_back()

    async def _settle(self, document: StateDocument) -> StateDocument | None:
        """Give the text once two reads agree on it: a slow writer's prefix may be valid."""
        is_finished = document.data.endswith(b"\n")
        await asyncio.sleep(_SETTLE_SECONDS if is_finished else _UNFINISHED_SECONDS)
        await self._file.index_lock.released()
        with contextlib.suppress(WishError):
            again = await self.read()
            if again.blob == document.blob:
                return again
        return None

    def _begin(self, document: StateDocument) -> None:
        """Take note of a new text and start to apply it."""
        self._cancel_attempt()
        self._file.settled(document)
        progress = self._progress
        if progress.observed is None or progress.observed.blob != document.blob:
            self.watching.found()
            progress.note(document)
        applied = progress.applied
        is_settled = progress.is_served(document.blob) and not self._applying.is_publishing
        if applied is not None and is_settled:
            progress.succeed(replace(applied, generation=progress.generation), "noop")
            return
        self._attempt_blob = document.blob
        progress.is_loading = True
        self._attempt = asyncio.create_task(self._apply(document, progress.generation))

    def _cancel_attempt(self) -> None:
        """Stop applying: something newer overtakes."""
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt, self._attempt_blob = None, ""
            self._progress.is_loading = False

    async def _apply(self, document: StateDocument, generation: int) -> None:
        """Try to apply a text until it is applied, refused for good, or overtaken."""
        failures = 0
        while True:
            try:
                pause = await self._applying.attempt(document, generation, failures)
            except Superseded:
                self._wake.set()
                return
            failures += 1
            if pause is not None:
                await asyncio.sleep(pause)
            elif self._progress.refusal is None:
                return
            elif await self._applying.files_changed(document):
                failures = 0
            else:
                return

    async def change(
        self, text: str, *, expected: str | None, gathered: Gathered, cause: Cause
    ) -> None:
        """Serve what was gathered for this text, and write the text in between.

        Raises:
            StateConflict: the file is no longer the one that the text was made from.
        """

        def written(document: StateDocument) -> int:
            self._cancel_attempt()
            progress = self._progress
            progress.note(document)
            progress.attempted = progress.generation
            return progress.generation

        # The loop must not take our own text for somebody else's.
        self._own_blob = blob_id(text.encode())
        try:
            await self._applying.change(
                text, expected=expected, gathered=gathered, cause=cause, written=written
            )
        finally:
            self._own_blob = ""
