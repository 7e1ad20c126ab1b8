"""Remember which versions were rejected, so that no deploy brings one back unnoticed.

A hold is left by a step back and names the version that was left, with its digest. It
outlives restarts, checkouts and `git clean`, and is released by whoever says so: a call
that names the version, a person's own edit, another version or the same decision in git.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from modeld.control.database import Database
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.log import get_logger

log = get_logger()

_COLUMNS = "id, model, version, digest, wanted, actor, reason, base_blob, base_commit, at"


@dataclass(frozen=True, slots=True)
class Hold:
    """A rejected version, and what was wanted instead.

    `base_blob` is the blob of the text that asked for it when it was rejected,
    `base_commit` the commit that was checked out then; both may be empty. `at` is seconds
    since the epoch.
    """

    id: int
    model: str
    version: str
    digest: str
    wanted: str
    actor: str
    reason: str
    base_blob: str
    base_commit: str
    at: float

    @property
    def release(self) -> str:
        """The command that ends it."""
        return f"modeld unhold {self.version}{of_model(self.model)}"

    @property
    def rejected(self) -> ModelVersion:
        """The version that is held."""
        return ModelVersion(self.model, self.version)


def of_model(model: str) -> str:
    """Give the option that names a model in a command; empty for the default one."""
    return "" if model == DEFAULT_MODEL else f" --model {model}"


class Holds:
    """The holds that are in force. Calls may come from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        rows = database.rows(f"SELECT {_COLUMNS} FROM hold WHERE released_at IS NULL ORDER BY id")  # noqa: S608
        self._active = tuple(Hold(*row) for row in rows)

    @property
    def active(self) -> tuple[Hold, ...]:
        """All holds in force, the oldest first."""
        return self._active

    def of(self, model: str) -> tuple[Hold, ...]:
        """The holds in force on versions of a model."""
        return tuple(hold for hold in self._active if hold.model == model)

    def find(self, version: ModelVersion, digest: str = "") -> Hold | None:
        """Find the hold on a version; one with another digest is another version."""
        for hold in reversed(self._active):
            is_same = not (digest and hold.digest) or hold.digest == digest
            if hold.rejected == version and is_same:
                return hold
        return None

    def add(self, hold: Hold) -> Hold:
        """Put a hold in force; gives it with its id.

        It is on the disk when this returns; raises `RuntimeUnwritable`.
        """
        values = (
            *(hold.model, hold.version, hold.digest, hold.wanted, hold.actor, hold.reason),
            *(hold.base_blob, hold.base_commit, hold.at),
        )
        names = _COLUMNS.removeprefix("id, ")
        marks = ", ".join("?" * len(values))
        statement = f"INSERT INTO hold ({names}) VALUES ({marks})"  # noqa: S608
        with self._lock:
            added = Hold(self._database.write(statement, values), *values)
            self._active = (*self._active, added)
        log.info("hold.made", version=str(added.rejected), wanted=hold.wanted, by=hold.actor)
        return added

    def release(self, holds: Iterable[Hold], by: str) -> None:
        """End holds; `by` says who or what did it. Raises `RuntimeUnwritable`."""
        for hold in holds:
            self._database.write(
                "UPDATE hold SET released_at = ?, released_by = ? WHERE id = ?",
                (time.time(), by, hold.id),
            )
            with self._lock:
                self._active = tuple(each for each in self._active if each.id != hold.id)
            log.info("hold.released", version=str(hold.rejected), by=by)
