"""Remember what was live and why, the last good wish, and under which digest versions came.

One table of the database for each; what a rollback goes by is read from the history.
"""

import time
from dataclasses import astuple, dataclass
from pathlib import Path

from modeld.control.database import HISTORY_COLUMNS, Database, add_to_history, first_broken
from modeld.domain import ModelVersion

APPLIED = "applied"

_COLUMNS = ", ".join(HISTORY_COLUMNS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of what was live, or one that was refused: then `result` says why.

    `at` is seconds since the epoch, `seconds` how long it took from being seen to being
    served, `commit` the commit that asked for it, where one did.
    """

    number: int
    at: float
    model: str
    version: str
    previous: str | None
    digest: str
    trigger: str
    actor: str
    reason: str
    generation: int
    blob: str
    commit: str = ""
    result: str = APPLIED
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last wish that was applied."""

    blob: str
    text: bytes
    at: float


class Ledger:
    """The runtime folder's memory. Calls may come from any thread."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.database = Database(path, is_read_only=is_read_only)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def check_writable(self) -> None:
        """Raise `RuntimeUnwritable` now rather than after a change was made."""
        self._count("checked", int(time.time()))

    def record(self, entry: Entry) -> None:
        """Add a change to the history; its number is given here."""
        values = astuple(entry)[1:]
        self.database.transact(lambda database: add_to_history(database, values))

    def history(self, model: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        """Give the newest changes of what was live, oldest first."""
        where = "result = ?" if model is None else "result = ? AND model = ?"
        return self._entries(where, (APPLIED,) if model is None else (APPLIED, model), limit)

    def live_at(self, model: str, at: float) -> Entry | None:
        """Give the change that made live what was live at a moment, in seconds since the epoch."""
        found = self._entries("result = ? AND model = ? AND at <= ?", (APPLIED, model, at), 1)
        return found[0] if found else None

    def attempts(self, limit: int = 1000) -> tuple[Entry, ...]:
        """Give the newest changes together with those that were refused, oldest first."""
        return self._entries("1", (), limit)

    def _entries(
        self, where: str, values: tuple[str | float, ...], limit: int
    ) -> tuple[Entry, ...]:
        statement = f"SELECT {_COLUMNS} FROM history WHERE {where} ORDER BY number DESC LIMIT ?"  # noqa: S608
        rows = self.database.rows(statement, (*values, limit))
        return tuple(Entry(*row) for row in reversed(rows))

    def first_broken(self) -> int | None:
        """Name the first entry of the history that was changed or removed afterwards."""
        return self.audited()[1]

    def audited(self) -> tuple[tuple[str, ...], int | None]:
        """Give all hashes of the history, and the first entry that is not as it was written."""
        statement = f"SELECT {_COLUMNS}, hash FROM history ORDER BY number"  # noqa: S608
        rows = self.database.rows(statement)
        return tuple(row[-1] for row in rows), first_broken(rows)

    def remember_digest(self, version: ModelVersion, digest: str) -> None:
        """Note the digest under which a version is first used; later calls change nothing."""
        self.database.write(
            "INSERT OR IGNORE INTO first_digest VALUES (?, ?, ?)",
            (version.model, version.version, digest),
        )

    def first_digest(self, version: ModelVersion) -> str | None:
        """Give the digest under which a version was first used."""
        row = self.database.row(
            "SELECT digest FROM first_digest WHERE model = ? AND version = ?",
            (version.model, version.version),
        )
        return row[0] if row else None

    def set_last_good(self, blob: str, text: bytes, at: float) -> None:
        """Note the wish that is applied now."""
        self.database.write(
            "INSERT OR REPLACE INTO last_good VALUES (1, ?, ?, ?)", (blob, text, at)
        )

    def keep_text(self, blob: str, text: bytes, at: float) -> None:
        """Keep a text of the wish that is about to be replaced and could not be understood."""
        self.database.write(
            "INSERT OR REPLACE INTO replaced_text VALUES (?, ?, ?)", (blob, text, at)
        )

    def last_good(self) -> LastGood | None:
        """Give the last wish that was applied."""
        row = self.database.row("SELECT blob, text, at FROM last_good")
        return LastGood(*row) if row else None

    def generation(self) -> int:
        """Give the number of the newest wish that was seen."""
        row = self.database.row("SELECT value FROM counter WHERE name = 'generation'")
        return int(row[0]) if row else 0

    def set_generation(self, value: int) -> None:
        """Note the number of the newest wish."""
        self._count("generation", value)

    def _count(self, name: str, value: int) -> None:
        self.database.write("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))
