"""Keep what the reconciler knows: which wish was seen, tried, applied or refused.

The loop writes it, the status and the metrics read it, and whoever waits for a change
is woken by it.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, replace

from modeld.control.changes import Wish
from modeld.control.ledger import Ledger
from modeld.desired.document import DesiredState
from modeld.desired.file import StateDocument
from modeld.errors import ModeldError, RuntimeUnwritable, WishError
from modeld.log import get_logger

log = get_logger()

_SEEN = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """A wish that is not applied, and why. `retry_at` is `None` once it is final."""

    blob: str
    generation: int
    error: ModeldError
    at: float
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The wish that is being served; not `is_whole` once part of a newer one is.

    `fallback` says in words where it comes from when it is not the one that is wished for.
    """

    wish: Wish
    generation: int
    at: float
    fallback: str = ""
    is_whole: bool = True
    warnings: tuple[str, ...] = ()


class Progress:
    """How far the newest wish has come. Times in seconds since the epoch."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed: asyncio.Future[None] | None = None
        self.observed: StateDocument | None = None
        self.observed_at = 0.0
        self.seen: deque[str] = deque(maxlen=_SEEN)
        """The newest blobs, in the order in which they were seen."""
        self.desired: DesiredState | None = None
        self.generation = ledger.generation()
        self.attempted = 0
        self.applied_generation = 0
        self.applied: Applied | None = None
        self.refusal: Refusal | None = None
        self.condition: WishError | None = None
        self.is_frozen = False
        self.is_loading = False
        self.reloads: Counter[str] = Counter()
        self.last_reload_ok = True
        self.last_success = 0.0
        self._has_nothing = False

    async def changed(self) -> None:
        """Wait until anything about the wish or what serves has changed."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def tell(self) -> None:
        """Wake whoever waits for a change."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def note(self, document: StateDocument) -> None:
        """A text was seen that is another than the one before."""
        self.observed, self.observed_at = document, time.time()
        self.seen.append(document.blob)
        self.refusal = None
        self.generation += 1
        try:
            self._ledger.set_generation(self.generation)
        except RuntimeUnwritable as error:
            log.warning("generation.not_written", error=str(error))
        log.info("state.observed", blob=document.blob[:12], generation=self.generation)
        self.tell()

    def understood(self, desired: DesiredState) -> None:
        """The newest text has a meaning."""
        self.desired, self.is_frozen = desired, desired.freeze

    @property
    def is_starting(self) -> bool:
        """Whether a first version may still come without anybody's doing."""
        return self.applied is None and not self._has_nothing

    async def started(self) -> None:
        """Wait until a first version is served, or there is none to be had."""
        while self.is_starting:
            await self.changed()

    def has_nothing(self) -> None:
        """Neither the wish nor an earlier one can be served."""
        if not self._has_nothing:
            self._has_nothing = True
            self.tell()

    def is_served(self, blob: str) -> bool:
        """Tell whether a text is applied as a whole, by its own right."""
        applied = self.applied
        return (
            applied is not None
            and applied.wish.blob == blob
            and applied.is_whole
            and not applied.fallback
        )

    def absent(self, error: WishError) -> None:
        """The file is missing, empty or cannot be read."""
        if type(self.condition) is not type(error):
            log.warning("state.absent", reason=error.reason, error=str(error))
            self.reloads[error.code] += 1
        self.condition = error
        self.tell()

    def present(self) -> None:
        """The file can be read."""
        if self.condition is not None:
            self.condition = None
            self.tell()

    def succeed(self, applied: Applied, result: str) -> None:
        """A wish is served everywhere."""
        self.applied = applied
        self.applied_generation = applied.generation
        if applied.generation == self.generation:
            # Nothing newer was seen while this one was being applied.
            self.understood(applied.wish.desired)
            self.refusal, self.is_loading = None, False
        self.last_reload_ok, self.last_success = True, time.time()
        self.reloads[result] += 1
        log.info("state.applied", blob=applied.wish.blob[:12], generation=applied.generation)
        self.tell()

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Note what of the applied wish could not be had, and keeps nothing else from serving."""
        if self.applied is not None and warnings != self.applied.warnings:
            self.applied = replace(self.applied, warnings=warnings)
            self.tell()

    def mix(self) -> None:
        """Part of a newer wish is served: going back to the applied one is a change."""
        if self.applied is not None:
            self.applied = replace(self.applied, is_whole=False)

    def fall_back(self, applied: Applied) -> None:
        """An earlier wish is served, because the newest cannot be."""
        self.applied = applied
        log.warning("fallback.serving", blob=applied.wish.blob[:12])
        self.tell()

    def forget_refusal(self) -> None:
        """Let the newest text be tried again."""
        self.refusal = None
        self.tell()

    def refuse(self, document: StateDocument, error: ModeldError, pause: float | None) -> None:
        """A wish cannot be applied now; `pause` is the seconds until the next try."""
        now = time.time()
        if self.refusal is None or str(self.refusal.error) != str(error):
            log.warning(
                "state.refused", blob=document.blob[:12], reason=error.reason, error=str(error)
            )
        retry_at = None if pause is None else now + pause
        self.refusal = Refusal(document.blob, self.generation, error, now, retry_at)
        self.is_loading = False
        self.last_reload_ok = False
        self.reloads[error.code] += 1
        self.tell()
