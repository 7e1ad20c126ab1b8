"""Write down each change of what is live, and each wish that was refused.

The commit that asked for a change is looked up here, in the thread that writes, and for a
limited time. A call of the admin API asked for its change itself: no commit is looked for,
so that a rollback never waits for git. A commit that is made of it later is found by its
text when the history is read.
"""

import time

from modeld.control.changes import Cause, Wish
from modeld.control.history import BY_CALL
from modeld.control.ledger import Entry, Ledger
from modeld.control.release import LoadedRelease
from modeld.desired.document import DesiredState
from modeld.desired.file import StateDocument
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError, RuntimeUnwritable
from modeld.git.log import FileLog
from modeld.log import get_logger

log = get_logger()

_GIT_SECONDS = 1.0
_LONGEST_REASON = 1000


class Recording:
    """Adds to the history. Calls may come from any thread, one at a time."""

    def __init__(self, ledger: Ledger, commits: FileLog) -> None:
        self.ledger = ledger
        self._commits = commits
        self._refused: tuple[int, str] | None = None

    def switched(
        self, release: LoadedRelease, previous: str | None, wish: Wish, generation: int, why: Cause
    ) -> Entry:
        """Write down that a version is live; raises `RuntimeUnwritable`."""
        at = time.time()
        entry = Entry(
            number=0,
            at=at,
            model=release.version.model,
            version=release.version.version,
            previous=previous,
            digest=release.spec.digest,
            trigger=why.trigger,
            actor=why.actor,
            reason=why.reason,
            generation=generation,
            blob=wish.blob,
            commit=self._commit_of(wish.blob, why.trigger),
            seconds=_seconds(why.began, at),
        )
        self.ledger.record(entry)
        return entry

    def refused(
        self,
        document: StateDocument,
        desired: DesiredState | None,
        error: ModeldError,
        generation: int,
        why: Cause,
    ) -> None:
        """Write down why a wish is not served: once for each reason, not for each try.

        `desired` is `None` for a text without a meaning.
        """
        reason, self._refused = self._refused, (generation, error.reason)
        if reason == self._refused:
            return
        model, version, previous = self._asked_for(desired)
        newest = self.ledger.attempts(limit=1)
        is_known = bool(newest) and newest[0].blob == document.blob
        if reason is None and is_known and newest[0].result == error.reason:
            # It was refused before a restart already.
            return
        commit = self._commit_of(document.blob, why.trigger)
        self._refuse((model, version, previous), error, why, (generation, document.blob, commit))

    def refused_call(
        self, version: ModelVersion, error: ModeldError, generation: int, why: Cause
    ) -> None:
        """Write down that a call was refused, and changed nothing."""
        asked = (version.model, version.version, self._live(version.model))
        self._refuse(asked, error, why, (generation, "", ""))

    def _refuse(
        self,
        asked: tuple[str, str, str | None],
        error: ModeldError,
        why: Cause,
        text: tuple[int, str, str],
    ) -> None:
        model, version, previous = asked
        generation, blob, commit = text
        at = time.time()
        said = f"{error} (asked for: {why.reason})" if why.reason else str(error)
        entry = Entry(
            number=0,
            at=at,
            model=model,
            version=version,
            previous=previous,
            digest="",
            trigger=why.trigger,
            actor=why.actor,
            # A text that was refused may hold what UTF-8 cannot, and so may the reason.
            reason=said.encode(errors="replace").decode()[:_LONGEST_REASON],
            generation=generation,
            blob=blob,
            commit=commit,
            result=error.reason,
            seconds=_seconds(why.began, at),
        )
        try:
            self.ledger.record(entry)
        except RuntimeUnwritable as failure:
            log.warning("history.not_written", error=str(failure))

    def _asked_for(self, desired: DesiredState | None) -> tuple[str, str, str | None]:
        """Name the model, the version that was to be live, and the one that stays."""
        wishes = desired.models if desired else ()
        live = {wish.model: self._live(wish.model) for wish in wishes}
        for wish in wishes:
            if wish.active != live[wish.model]:
                return wish.model, wish.active, live[wish.model]
        if wishes:
            return wishes[0].model, wishes[0].active, live[wishes[0].model]
        return DEFAULT_MODEL, "", self._live(DEFAULT_MODEL)

    def _live(self, model: str) -> str | None:
        newest = self.ledger.history(model, limit=1)
        return newest[-1].version if newest else None

    def _commit_of(self, blob: str, trigger: str) -> str:
        if trigger in BY_CALL:
            return ""
        return self._commits.commit_of(blob, seconds=_GIT_SECONDS)


def _seconds(began: float, now: float) -> float:
    """How long it took; 0 where nobody said when it began, or the clock was set back."""
    return round(max(now - began, 0.0), 4) if began else 0.0
