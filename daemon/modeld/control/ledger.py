"""Remember what must survive a restart, in one SQLite file of the runtime folder.

What was live when and why, the last good wish, the counter of wishes, and the digest
under which each version was first used. Every change is on the disk when the call
returns. The file has a format number: an unknown one is refused, never misread.
"""

import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from modeld.domain import ModelVersion
from modeld.errors import ConfigError, RuntimeUnwritable

_FORMAT = 1
_TABLES = """
CREATE TABLE history (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    previous TEXT, digest TEXT NOT NULL, trigger TEXT NOT NULL, actor TEXT NOT NULL,
    reason TEXT NOT NULL, generation INTEGER NOT NULL, blob TEXT NOT NULL);
CREATE INDEX history_of_model ON history (model, number);
CREATE TABLE first_digest (
    model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (model, version));
CREATE TABLE last_good (
    only INTEGER PRIMARY KEY CHECK (only = 1), blob TEXT NOT NULL, text BLOB NOT NULL,
    at REAL NOT NULL);
CREATE TABLE replaced_text (blob TEXT PRIMARY KEY, text BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of what was live. `at` is seconds since the epoch."""

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


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last wish that was applied."""

    blob: str
    text: bytes
    at: float


class Ledger:
    """The runtime folder's memory. Calls may come from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be used: {error}") from error
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._open(path)
        except (sqlite3.Error, ConfigError) as error:
            self._database.close()
            raise ConfigError(f"{path} cannot be used: {error}") from error

    def _open(self, path: Path) -> None:
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            script = f"BEGIN; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;"
            self._database.executescript(script)
        elif found != _FORMAT:
            raise ConfigError(
                f"it has format {found}, this modeld reads {_FORMAT}: it was written by "
                "another version; use that one, or another MODELD_RUNTIME_DIR"
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            with self._lock:
                self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise RuntimeUnwritable(f"the runtime folder cannot be written: {error}") from error

    def check_writable(self) -> None:
        """Raise `RuntimeUnwritable` now rather than after a change was made."""
        self._write("INSERT OR REPLACE INTO counter VALUES ('checked', ?)", (int(time.time()),))

    def record(self, entry: Entry) -> None:
        """Add a change to the history; its number is given here."""
        self._write(
            "INSERT INTO history (at, model, version, previous, digest, trigger, actor, reason,"
            " generation, blob) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.at,
                entry.model,
                entry.version,
                entry.previous,
                entry.digest,
                entry.trigger,
                entry.actor,
                entry.reason,
                entry.generation,
                entry.blob,
            ),
        )

    def history(self, model: str | None = None, limit: int = 1000) -> tuple[Entry, ...]:
        """Give the newest changes, oldest first."""
        where, values = ("WHERE model = ?", (model,)) if model is not None else ("", ())
        statement = f"SELECT * FROM history {where} ORDER BY number DESC LIMIT ?"  # noqa: S608
        with self._lock:
            rows = self._database.execute(statement, (*values, limit)).fetchall()
        return tuple(Entry(*row) for row in reversed(rows))

    def remember_digest(self, version: ModelVersion, digest: str) -> None:
        """Note the digest under which a version is first used; later calls change nothing."""
        self._write(
            "INSERT OR IGNORE INTO first_digest VALUES (?, ?, ?)",
            (version.model, version.version, digest),
        )

    def first_digest(self, version: ModelVersion) -> str | None:
        """Give the digest under which a version was first used."""
        with self._lock:
            row = self._database.execute(
                "SELECT digest FROM first_digest WHERE model = ? AND version = ?",
                (version.model, version.version),
            ).fetchone()
        return row[0] if row else None

    def set_last_good(self, blob: str, text: bytes, at: float) -> None:
        """Note the wish that is applied now."""
        self._write("INSERT OR REPLACE INTO last_good VALUES (1, ?, ?, ?)", (blob, text, at))

    def keep_text(self, blob: str, text: bytes, at: float) -> None:
        """Keep a text of the wish that is about to be replaced and could not be understood."""
        self._write("INSERT OR REPLACE INTO replaced_text VALUES (?, ?, ?)", (blob, text, at))

    def last_good(self) -> LastGood | None:
        """Give the last wish that was applied."""
        with self._lock:
            row = self._database.execute("SELECT blob, text, at FROM last_good").fetchone()
        return LastGood(*row) if row else None

    def generation(self) -> int:
        """Give the number of the newest wish that was seen."""
        with self._lock:
            row = self._database.execute(
                "SELECT value FROM counter WHERE name = 'generation'"
            ).fetchone()
        return int(row[0]) if row else 0

    def set_generation(self, value: int) -> None:
        """Note the number of the newest wish."""
        self._write("INSERT OR REPLACE INTO counter VALUES ('generation', ?)", (value,))
