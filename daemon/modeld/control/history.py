"""Read the history of what was live: where would a rollback go?

Pure functions over the ledger's entries, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modeld.control.ledger import Entry

ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollback goes; `version` is `None` when it stays where it is.

    `further` is the version that lies further back, for a person to name.
    """

    version: str | None
    further: str | None = None


def rollback_target(entries: Sequence[Entry]) -> Target:
    """Find the version that was live before the current one.

    What was left by a rollback is passed over, until somebody makes it live again. When
    the current version was itself reached by a rollback, pressing again stays: going
    back twice must be said.
    """
    if not entries:
        return Target(None)
    current = entries[-1]
    before = _before(entries)
    if current.trigger == ROLLBACK:
        return Target(None, before)
    return Target(before)


def _before(entries: Sequence[Entry]) -> str | None:
    current = entries[-1].version
    rejected = _rejected(entries)
    for entry in reversed(entries[:-1]):
        if entry.version != current and entry.version not in rejected:
            return entry.version
    return None


def _rejected(entries: Sequence[Entry]) -> set[str]:
    """Name the versions that a rollback left and nobody made live again."""
    rejected: set[str] = set()
    for entry in entries:
        if entry.trigger == ROLLBACK and entry.previous is not None:
            rejected.add(entry.previous)
        rejected.discard(entry.version)
    return rejected
