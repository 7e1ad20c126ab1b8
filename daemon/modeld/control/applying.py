"""Apply one text of the wish: load what it names, publish, and note how it went.

The reconciler decides when; calls of the admin API come here too, with a text that is
written between the workers' preparation and their commit.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

from modeld.control.changes import Cause, Gathered, Steps, Wish
from modeld.control.falling_back import FallingBack
from modeld.control.holds import Hold
from modeld.control.judging import Judging
from modeld.control.ledger import Ledger
from modeld.control.overlay import Overlay
from modeld.control.progress import Applied, Progress
from modeld.control.retry import retry_pause
from modeld.control.switch import Switch
from modeld.desired.document import DesiredState, blob_id, parse, set_active
from modeld.desired.file import StateDocument
from modeld.domain import ModelVersion
from modeld.errors import (
    InternalError,
    Invalid,
    ModeldError,
    RuntimeUnwritable,
    StateEmpty,
    Superseded,
    VersionHeld,
    WishError,
)
from modeld.log import get_logger

log = get_logger()


class Applying:
    """Turns texts into what serves."""

    def __init__(
        self,
        file: Overlay,
        switch: Switch,
        ledger: Ledger,
        progress: Progress,
        judging: Judging,
        falling_back: FallingBack,
    ) -> None:
        self._file = file
        self._switch = switch
        self._ledger = ledger
        self._progress = progress
        self._judging = judging
        self._falling_back = falling_back
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
        await self._note_refusal(document, failure, generation)
        await self.fall_back()
        return pause

    async def _note_refusal(
        self, document: StateDocument, failure: ModeldError, generation: int
    ) -> None:
        desired = None if isinstance(failure, Invalid | StateEmpty) else self._progress.desired
        await asyncio.to_thread(
            self._switch.recording.refused, document, desired, failure, generation, self._cause()
        )

    def _cause(self) -> Cause:
        trigger = "start" if self.is_first else "file"
        return Cause(trigger, began=self._progress.observed_at)

    async def files_changed(self, document: StateDocument) -> bool:
        """Wait until the files that a refused text names are others; gives `False` if none help.

        A copy that was still going on looks like a broken model until it is complete.
        """
        if self._progress.refusal and isinstance(self._progress.refusal.error, VersionHeld):
            return False
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
            await self._stand_still(generation)
            return
        await self._judge(document, desired, generation)
        await self._apply(Wish(desired, document.data, document.blob), generation)
        if self._file.override is None:
            await self._judging.applied(desired)
        self._progress.warn(await self._switch.load_also(desired))

    async def _stand_still(self, generation: int) -> None:
        log.info("state.frozen", generation=generation)
        self._progress.is_loading = False
        self._progress.tell()
        await self.fall_back()

    async def _apply(self, wish: Wish, generation: int) -> None:
        """Serve as much of a wish as can be; raises why not all of it is."""
        self._tried = await self._switch.gathering.fingerprint(wish.desired)
        gathered = await self._switch.gathering.gather(wish.desired, is_urgent=self.is_first)
        failure = active_failure(wish.desired, gathered)
        if failure is not None and await self.fall_back():
            raise failure

        async def applied() -> None:
            self.is_first = False
            if failure is None:
                await self._applied(wish, generation, is_whole=True)
            else:
                self._progress.mix()

        cause = self._cause()
        steps = Steps(partial(self._check_wanted, wish.blob), applied)
        await self._switch.publish(wish, gathered, generation=generation, cause=cause, steps=steps)
        if failure is not None:
            raise failure

    async def _check_wanted(self, blob: str) -> None:
        """Raise `Superseded` when the file has another text by now."""
        with contextlib.suppress(WishError):
            if (await asyncio.to_thread(self._file.read)).blob == blob:
                return
        raise Superseded("the wish changed while its versions were loaded")

    async def _judge(self, document: StateDocument, desired: DesiredState, generation: int) -> None:
        """Raise `VersionHeld`, unless a model would have nothing but the held version to serve."""
        if self._file.override is not None:
            return
        try:
            await self._judging.judge(document, desired)
        except VersionHeld as error:
            await self.fall_back()
            for hold in self._judging.met_by(desired):
                is_live = hold.model in self._switch.live_versions()
                if not is_live and not await self._serve_instead(hold, document, generation):
                    log.warning("hold.passed_over", why="nothing else loads", error=str(error))
                    return
            raise

    async def _serve_instead(self, hold: Hold, document: StateDocument, generation: int) -> bool:
        """Serve what was wanted in the place of a held version; tells whether it could be."""

        async def applied() -> None:
            self.is_first = False
            self._progress.mix()

        steps = Steps(partial(self._check_wanted, document.blob), applied)
        version = ModelVersion(hold.model, hold.wanted)
        try:
            text = set_active(document.data.decode(), hold.model, hold.wanted).encode()
            wish = Wish(parse(text), text, blob_id(text))
            gathered = await self._switch.gathering.gather_one(version, wish.desired)
            await self._switch.publish(
                wish, gathered, generation=generation, cause=self._cause(), steps=steps
            )
        except Superseded:
            raise
        except ModeldError as error:
            log.warning("hold.nothing_instead", version=str(hold.rejected), error=str(error))
            return False
        return True

    async def _applied(self, wish: Wish, generation: int, *, is_whole: bool) -> None:
        applied = Applied(wish, generation, time.time(), is_whole=is_whole)
        try:
            await asyncio.to_thread(self._ledger.set_last_good, wish.blob, wish.text, applied.at)
        except RuntimeUnwritable as error:
            log.warning("last_good.not_written", error=str(error))
        self._progress.succeed(applied, "applied")

    async def fall_back(self) -> bool:
        """At a start with a wish that cannot be served: serve an earlier one that could.

        Tells whether one serves now.
        """
        if self._progress.applied is not None:
            return False
        is_served = await self._falling_back.serve()
        if not is_served:
            self._progress.has_nothing()
        self.is_first = self.is_first and not is_served
        return is_served

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
