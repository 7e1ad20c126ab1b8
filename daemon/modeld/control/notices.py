"""Decide what somebody has to be told, once for each time that it happens.

Pure: what stands is compared with what stood before. A wish whose files may still arrive,
or that is tried again at once, is told only when that has lasted; a server that serves an
earlier wish says so instead of saying that it refuses the newest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modeld.control.history import ROLLBACK
from modeld.control.ledger import APPLIED, Entry
from modeld.control.progress import Progress, Refusal
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import HostDied, Invalid, LoadTimeout, VersionHeld

_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened. `number` tells it from another time that the same happens.

    `version` is what is wanted, or after a rollback what is live; `previous` is what was
    live before, or still is.
    """

    event: str
    number: int
    model: str
    version: str = field(compare=False)
    previous: str = field(compare=False)
    reason: str
    actor: str = ""

    def headline(self) -> str:
        """Say it in a few words; what serves now is said by the status."""
        name = ModelVersion(self.model, self.version)
        if self.event != ROLLBACK:
            return {"held": "A hold blocked a deploy.", "refused": "A wish is refused."}.get(
                self.event, "An earlier wish is served."
            )
        by = f" by {self.actor}" if self.actor else ""
        why = f": {self.reason}" if self.reason else ""
        return f"Rolled back from {self.previous or 'nothing'} to {name}{by}{why}."


def rollbacks(entries: Sequence[Entry], after: int) -> list[Notice]:
    """Find what was rolled back since an entry: the newest time for each model."""
    found = {
        entry.model: Notice(
            ROLLBACK,
            entry.number,
            entry.model,
            entry.version,
            entry.previous or "",
            entry.reason,
            entry.actor,
        )
        for entry in entries
        if entry.number > after and entry.trigger == ROLLBACK and entry.result == APPLIED
    }
    return list(found.values())


def fresh(stands: Sequence[Notice], stood: Sequence[Notice]) -> list[Notice]:
    """Find what has come up since the last look; of what comes up together, the first."""
    return [notice for notice in stands if notice not in stood][:1]


def standing(
    progress: Progress, live: Mapping[str, str], now: float, *, is_starting: bool
) -> list[Notice]:
    """Name what is wrong with the wish at this moment, the most telling first.

    A server that is starting may still find something to serve.
    """
    if is_starting and progress.applied is None:
        return []
    wanted, found = _wanted(progress, live), []
    about = (wanted.model, wanted.version, live.get(wanted.model, ""))
    reason = _refusal(progress, now)
    if progress.applied is not None and progress.applied.fallback:
        found.append(Notice("fallback", 0, *about, progress.applied.fallback))
    if reason:
        event = "held" if reason == VersionHeld.__name__ else "refused"
        found.append(Notice(event, progress.generation, *about, reason))
    return found


def _refusal(progress: Progress, now: float) -> str:
    """Give the reason why the wish is not served, once that is settled."""
    if progress.condition is not None:
        return progress.condition.reason
    refusal = progress.refusal
    has_lasted = now - progress.observed_at > _PATIENCE_SECONDS
    if refusal is None or not (_is_verdict(refusal) or has_lasted):
        return ""
    return refusal.error.reason


def _is_verdict(refusal: Refusal) -> bool:
    return refusal.retry_at is None or isinstance(refusal.error, HostDied | LoadTimeout)


def _wanted(progress: Progress, live: Mapping[str, str]) -> ModelVersion:
    """Name the version that is wanted and not live, or else the first that is wanted.

    A text that is not there or says nothing wants none.
    """
    is_text = progress.condition is None and not (
        progress.refusal and isinstance(progress.refusal.error, Invalid)
    )
    wishes = progress.desired.models if progress.desired and is_text else ()
    unmet = [wish for wish in wishes if live.get(wish.model) != wish.active]
    named = (ModelVersion(wish.model, wish.active) for wish in (*unmet, *wishes))
    return next(named, ModelVersion(DEFAULT_MODEL, ""))
