"""Read the history of what was live: where would a rollback go?

Pure functions over the ledger's entries, oldest first, and the holds in force.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modeld.control.holds import Hold, of_model
from modeld.control.ledger import Entry

ROLLBACK = "rollback"
BY_CALL = ("admin", ROLLBACK)
"""The triggers of changes that a call asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollback goes; `version` is `None` when it stays where it is.

    `further` is the version that lies further back, for a person to name.
    """

    version: str | None
    further: str | None = None


def is_step_back(
    version: str, current: str, lived: Sequence[str], committed: Sequence[str]
) -> bool:
    """Tell whether a version was first live before the one that it is to replace.

    `lived` are the versions that were live here and `committed` those that git's history asks
    for, both from the oldest on. What neither knows to be the older one is a step forward.
    """
    for names in (lived, committed):
        if version in names and current in names:
            return names.index(version) < names.index(current)
    return version in lived


def rollback_target(entries: Sequence[Entry], held: Collection[str] = ()) -> Target:
    """Find the version that was live before the current one.

    What was left by a rollback or is held is passed over, until somebody makes it live again. When
    the current version was itself reached by a rollback, pressing again stays: going
    back twice must be said.
    """
    if not entries:
        return Target(None)
    current = entries[-1]
    before = _before(entries, held)
    if current.trigger == ROLLBACK:
        return Target(None, before)
    return Target(before)


def why_stays(entries: Sequence[Entry], holds: Sequence[Hold]) -> str:
    """Say why a rollback stays where it is, and what would go further back.

    `entries` and `holds` are those of the model; the rollback has no target.
    """
    if not entries:
        return "the history has no version to go back to"
    current = entries[-1]
    last = f"{current.version} is where the last rollback went; "
    return (last if current.trigger == ROLLBACK else "") + _why_no_further(entries, holds)


def _why_no_further(entries: Sequence[Entry], holds: Sequence[Hold]) -> str:
    model, current = entries[-1].model, entries[-1].version
    held = {hold.version: hold.release for hold in holds}
    if further := _before(entries, held):
        return f"to go further back: modeld rollback --to {further}{of_model(model)}"
    for version in reversed(_line(entries)):
        if version in held and version != current:
            return (
                f"{version} was live before {current} and is held; "
                f"to let it be live again: {held[version]}"
            )
    return f"there is no earlier version than {current} to go back to"


def _before(entries: Sequence[Entry], held: Collection[str]) -> str | None:
    """Find the version before the current one in the line that leads to it."""
    rejected = _rejected(entries) | set(held)
    *before, current = _line(entries)
    return next((v for v in reversed(before) if v != current and v not in rejected), None)


def _line(entries: Sequence[Entry]) -> list[str]:
    """Name the versions that led to the current one; a rollback takes back what came between."""
    line: list[str] = []
    for entry in entries:
        if entry.trigger == ROLLBACK and entry.version in line:
            while line[-1] != entry.version:
                line.pop()
        else:
            line.append(entry.version)
    return line


def _rejected(entries: Sequence[Entry]) -> set[str]:
    """Name the versions that a rollback left and nobody made live again."""
    rejected: set[str] = set()
    for entry in entries:
        if entry.trigger == ROLLBACK and entry.previous is not None:
            rejected.add(entry.previous)
        rejected.discard(entry.version)
    return rejected
