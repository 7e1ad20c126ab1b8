"""Keep what must survive a restart in one SQLite file of the runtime folder.

Every change is on the disk when the call returns. The file has a format number: an older
one is brought up to date, an unknown one is refused, never misread. The rows of the history
can only be added to, and each one carries the hash of all before it.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from modeld.errors import ConfigError, RuntimeUnwritable

T = TypeVar("T")

FORMAT = 2
HISTORY_COLUMNS = (
    *("number", "at", "model", "version", "previous", "digest", "trigger", "actor", "reason"),
    *("generation", "blob", "commit_id", "result", "seconds"),
)

_FORMAT_1 = """
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
_TO_FORMAT_2 = """
ALTER TABLE history ADD COLUMN commit_id TEXT NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN result TEXT NOT NULL DEFAULT 'applied';
ALTER TABLE history ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN hash TEXT NOT NULL DEFAULT '';
CREATE TABLE hold (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    wanted TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, base_blob TEXT NOT NULL,
    base_commit TEXT NOT NULL, at REAL NOT NULL, released_at REAL,
    released_by TEXT NOT NULL DEFAULT '');
CREATE TABLE override (
    only INTEGER PRIMARY KEY CHECK (only = 1), text BLOB NOT NULL, base_blob TEXT NOT NULL,
    why TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE pending_commit (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    previous TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, request_id TEXT NOT NULL,
    hold INTEGER, expected_blob TEXT NOT NULL, base_commit TEXT NOT NULL);
"""
_APPEND_ONLY = "".join(
    f"CREATE TRIGGER history_keeps_{verb} BEFORE {verb} ON history BEGIN"
    " SELECT RAISE(ABORT, 'the history can only be added to'); END;"
    for verb in ("UPDATE", "DELETE")
)


class Database:
    """The file, its format and its lock. Calls may come from any thread."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self._lock = threading.Lock()
        address = f"{path.absolute().as_uri()}{'?mode=ro' if is_read_only else ''}"
        try:
            self._connection = sqlite3.connect(
                address, uri=True, check_same_thread=False, isolation_level=None
            )
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be used: {error}") from error
        try:
            if is_read_only:
                self._check_format()
                return
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._bring_up_to_date()
        except (sqlite3.Error, ConfigError) as error:
            self._connection.close()
            raise ConfigError(f"{path} cannot be used: {error}") from error

    def _check_format(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != FORMAT:
            raise ConfigError(f"it has format {found}, this modeld reads {FORMAT}")

    def _bring_up_to_date(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in range(FORMAT + 1):
            raise ConfigError(
                f"it has format {found}, this modeld reads {FORMAT}: it was written by "
                "another version; use that one, or another MODELD_RUNTIME_DIR"
            )
        if found < FORMAT:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._migrate(found)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def _migrate(self, found: int) -> None:
        script = (_FORMAT_1 if found == 0 else "") + _TO_FORMAT_2
        for statement in script.split(";"):
            self._connection.execute(statement)
        _chain_old_rows(self._connection)
        for trigger in _APPEND_ONLY.split("END;")[:-1]:
            self._connection.execute(f"{trigger}END")
        self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do several things as one; raises `RuntimeUnwritable`, and then nothing was done."""
        try:
            with self._lock:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(self._connection)
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise RuntimeUnwritable(f"the runtime folder cannot be written: {error}") from error
        return result

    def write(self, statement: str, values: Sequence[object] = ()) -> int:
        """Change something, and give the number of the row that was added last."""
        return self.transact(lambda database: database.execute(statement, values).lastrowid or 0)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Give what a statement finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Give the first row that a statement finds."""
        return next(iter(self.rows(statement, values)), None)


# The chain of the history


def chained(before: str, values: Iterable[object]) -> str:
    """Hash a row of the history together with the hash of the row before it."""
    content = json.dumps([before, *values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def add_to_history(connection: sqlite3.Connection, values: Sequence[object]) -> None:
    """Add a row; `values` are those of the columns after its number, which is given here."""
    last = connection.execute("SELECT number, hash FROM history ORDER BY number DESC LIMIT 1")
    number, before = last.fetchone() or (0, "")
    row = (number + 1, *values)
    names = ", ".join((*HISTORY_COLUMNS, "hash"))
    marks = ", ".join("?" * (len(HISTORY_COLUMNS) + 1))
    connection.execute(
        f"INSERT INTO history ({names}) VALUES ({marks})",  # noqa: S608
        (*row, chained(before, row)),
    )


def first_broken(rows: Iterable[Sequence[object]]) -> int | None:
    """Name the first row, of all in order with their hashes, that is not as it was written."""
    before, expected = "", 1
    for *values, found in rows:
        if values[0] != expected or chained(before, values) != found:
            return expected
        before, expected = str(found), expected + 1
    return None


def _chain_old_rows(connection: sqlite3.Connection) -> None:
    """Give the rows of a history that had no hashes theirs."""
    names = ", ".join(HISTORY_COLUMNS)
    before = ""
    for row in connection.execute(f"SELECT {names} FROM history ORDER BY number").fetchall():  # noqa: S608
        before = chained(before, row)
        connection.execute("UPDATE history SET hash = ? WHERE number = ?", (before, row[0]))
