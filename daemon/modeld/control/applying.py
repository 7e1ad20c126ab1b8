"""Apply one text of the wish: load what it names, publish, and note how it went.

The reconciler decides when; calls of the admin API come here too, with a text that is
written between the workers' preparation and their commit.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from modeld.control.changes import Cause, Gathered, Steps, Wish
from modeld.control.ledger import Ledger
from modeld.control.progress import Applied, Progress
from modeld.control.retry import retry_pause
from modeld.control.switch import Switch
from modeld.desired.document import DesiredState, blob_id, parse
from modeld.desired.file import StateDocument, StateFile
from modeld.errors import (
    InternalError,
    ModeldError,
    RuntimeUnwritable,
    Superseded,
    WishError,
)
from modeld.log import get_logger

log = get_logger()

_FALL_BACK_SECONDS = 10.0


class Applying:
    """Turns texts into what serves."""

    def __init__(self, file: StateFile, switch: Switch, ledger: Ledger, progress: Progress) -> None:
        self._file = file
        self._switch = switch
        self._ledger = ledger
        self._progress = progress
        self._fall_back_after = 0.0
        self._tried: tuple[str, ...] = ()
        self.is_first = True
        """Whether nothing was applied since the start; then the last good wish may serve."""

    @property
    def is_publishing(self) -> bool:
        """Whether something is about to serve that may not be written down yet."""
        return self._switch.is_publishing

    async def attempt(
        self, document: StateDocument, generation: int, failures: int
    ) -> float | None:
        """Try once; gives the seconds until the next try, `None` when there is none.

        Raises:
            Superseded: the file has another text by now.
        """
        self._progress.attempted = generation
        try:
            await self._try(document, generation)
        except Superseded:
            raise
        except ModeldError as error:
            pause = retry_pause(error, failures)
            failure = error
        except Exception as error:
            # A defect of ours: the wish stays refused, visibly, and the loop goes on.
            log.exception("apply.failed", blob=document.blob[:12])
            failure = InternalError(f"{type(error).__name__} inside modeld; the log says more")
            pause = None
        else:
            return None
        self._progress.refuse(document, failure, pause)
        await self.fall_back()
        return pause

    async def files_changed(self, document: StateDocument) -> bool:
        """Wait until the files that a refused text names are others; gives `False` if it has none.

        A copy that was still going on looks like a broken model until it is complete.
        """
        try:
            desired = parse(document.data)
        except ModeldError:
            return False
        await self._switch.gathering.files_change(desired, self._tried)
        return True

    async def _try(self, document: StateDocument, generation: int) -> None:
        desired = parse(document.data)
        self._progress.understood(desired)
        if desired.freeze:
            log.info("state.frozen", generation=generation)
            self._progress.is_loading = False
            self._progress.tell()
            await self.fall_back()
            return
        self._tried = await self._switch.gathering.fingerprint(desired)
        gathered = await self._switch.gathering.gather(desired, is_urgent=self.is_first)
        failure = active_failure(desired, gathered)
        if failure is not None and await self.fall_back():
            raise failure
        wish = Wish(desired, document.data, document.blob)

        async def still_wanted() -> None:
            with contextlib.suppress(WishError):
                if (await asyncio.to_thread(self._file.read)).blob == document.blob:
                    return
            raise Superseded("the wish changed while its versions were loaded")

        async def applied() -> None:
            self.is_first = False
            if failure is None:
                await self._applied(wish, generation, is_whole=True)
            else:
                self._progress.mix()

        cause = Cause("start" if self.is_first else "file")
        steps = Steps(still_wanted, applied)
        await self._switch.publish(wish, gathered, generation=generation, cause=cause, steps=steps)
        if failure is not None:
            raise failure
        self._progress.warn(await self._switch.load_also(desired))

    async def _applied(self, wish: Wish, generation: int, *, is_whole: bool) -> None:
        applied = Applied(wish, generation, time.time(), is_whole=is_whole)
        try:
            await asyncio.to_thread(self._ledger.set_last_good, wish.blob, wish.text, applied.at)
        except RuntimeUnwritable as error:
            log.warning("last_good.not_written", error=str(error))
        self._progress.succeed(applied, "applied")

    async def fall_back(self) -> bool:
        """At a start with a wish that cannot be served: serve the last one that could.

        Tells whether it serves now.
        """
        if self._progress.applied is not None or not self.is_first:
            return False
        last = await asyncio.to_thread(self._ledger.last_good)
        if last is not None and time.monotonic() >= self._fall_back_after:
            self._fall_back_after = time.monotonic() + _FALL_BACK_SECONDS
            try:
                desired = parse(last.text)
                await self._serve_again(Wish(desired, last.text, last.blob), last.at)
            except ModeldError as error:
                log.warning("fallback.failed", reason=error.reason, error=str(error))
        if last is None or self._progress.applied is not None:
            self.is_first = False
        return self._progress.applied is not None

    async def _serve_again(self, wish: Wish, at: float) -> None:
        gathered = await self._switch.gathering.gather(wish.desired)
        if not gathered.live:
            raise next(iter(gathered.failures.values()))

        async def applied() -> None:
            self._progress.fall_back(Applied(wish, 0, at, is_fallback=True))

        async def still_needed() -> None:
            if self._progress.applied is not None:
                raise Superseded("a wish was applied meanwhile")

        steps = Steps(still_needed, applied)
        await self._switch.publish(wish, gathered, generation=0, cause=Cause("start"), steps=steps)

    async def change(
        self,
        text: str,
        *,
        expected: str | None,
        gathered: Gathered,
        cause: Cause,
        written: Callable[[StateDocument], int],
    ) -> None:
        """Serve what was gathered for this text, and write the text in between.

        `written` takes note of the new text and gives its generation.

        Raises:
            StateConflict: the file is no longer the one that the text was made from.
        """
        data = text.encode()
        wish = Wish(parse(data), data, blob_id(data))

        generation = self._progress.generation + 1

        async def write() -> None:
            nonlocal generation
            generation = written(await asyncio.to_thread(self._file.write, text, expected=expected))

        async def applied() -> None:
            self.is_first = False
            # What else the text names and does not serve yet is left to the loop.
            is_whole = self._switch.is_served(wish.desired)
            await self._applied(wish, generation, is_whole=is_whole)

        steps = Steps(write, applied)
        await self._switch.publish(wish, gathered, generation=generation, cause=cause, steps=steps)


def active_failure(desired: DesiredState, gathered: Gathered) -> ModeldError | None:
    """Give the failure of a version that was to be live, the default model's first."""
    for wish in desired.models:
        for version, error in gathered.failures.items():
            if version.model == wish.model and version.version == wish.active:
                return error
    return None
