import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from modeld.control.ledger import Entry, LastGood, Ledger
from modeld.domain import ModelVersion
from modeld.errors import ConfigError, RuntimeUnwritable

V1 = ModelVersion("default", "v1")


def entry(version: str, model: str = "default", number: int = 0) -> Entry:
    return Entry(
        number, 12.5, model, version, "v0", "sha256:0", "admin", "ann", "it's 'late'", 3, "abc"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "modeld.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with closing(Ledger(path)) as ledger:
        yield ledger


def test_a_new_ledger_remembers_nothing(ledger: Ledger) -> None:
    assert ledger.history() == ()
    assert ledger.last_good() is None
    assert ledger.first_digest(V1) is None
    assert ledger.generation() == 0


def test_everything_survives_a_restart(path: Path) -> None:
    with closing(Ledger(path)) as before:
        before.record(entry("v1"))
        before.set_last_good("abc", b"active: v1\n", 7.5)
        before.remember_digest(V1, "sha256:1")
        before.set_generation(9)

    with closing(Ledger(path)) as after:
        assert after.history() == (entry("v1", number=1),)
        assert after.last_good() == LastGood("abc", b"active: v1\n", 7.5)
        assert after.first_digest(V1) == "sha256:1"
        assert after.generation() == 9


def test_history_is_told_by_model_oldest_first(ledger: Ledger) -> None:
    for version, model in [("v1", "default"), ("v7", "churn"), ("v2", "default")]:
        ledger.record(entry(version, model))

    assert [e.version for e in ledger.history()] == ["v1", "v7", "v2"]
    assert [e.version for e in ledger.history("default")] == ["v1", "v2"]
    assert [e.version for e in ledger.history("churn")] == ["v7"]
    assert ledger.history("fraud") == ()


def test_a_limit_keeps_the_newest(ledger: Ledger) -> None:
    for number in range(5):
        ledger.record(entry(f"v{number}"))

    assert [e.version for e in ledger.history(limit=2)] == ["v3", "v4"]


def test_the_first_digest_of_a_version_stays(ledger: Ledger) -> None:
    for digest in ("sha256:1", "sha256:2"):
        ledger.remember_digest(V1, digest)
    ledger.remember_digest(ModelVersion("churn", "v1"), "sha256:3")

    assert ledger.first_digest(V1) == "sha256:1"
    assert ledger.first_digest(ModelVersion("churn", "v1")) == "sha256:3"


def test_only_the_last_good_wish_is_kept(ledger: Ledger) -> None:
    ledger.set_last_good("a", b"active: v1\n", 1.0)
    ledger.set_last_good("b", b"active: v2\n", 2.0)

    assert ledger.last_good() == LastGood("b", b"active: v2\n", 2.0)


def test_a_text_that_is_replaced_is_kept_as_it_was(ledger: Ledger, path: Path) -> None:
    ledger.keep_text("abc", b"\xff\0 active", 1.0)
    ledger.keep_text("abc", b"\xff\0 active", 2.0)

    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT text FROM replaced_text").fetchall() == [
            (b"\xff\0 active",)
        ]


def test_what_people_write_is_no_sql(ledger: Ledger) -> None:
    name = "v1'); DROP TABLE history; --"

    ledger.record(entry(name))

    assert [e.version for e in ledger.history()] == [name]
    assert ledger.history("x' OR '1'='1") == ()


@pytest.mark.parametrize("found", [3, 99, -1])
def test_another_format_is_refused_and_left_alone(path: Path, found: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {found}")

    with pytest.raises(ConfigError, match=f"has format {found}, this modeld reads 2"):
        Ledger(path)

    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (found,)


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 9, b"\xff" * 99]
)
def test_another_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"modeld\.sqlite cannot be used"):
        Ledger(path)

    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        Ledger(tmp_path / "missing" / "modeld.sqlite")


def test_what_cannot_be_written_is_told_before_anything_changes(ledger: Ledger, path: Path) -> None:
    ledger.check_writable()
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE counter")

    with pytest.raises(RuntimeUnwritable, match="cannot be written"):
        ledger.check_writable()


def test_calls_may_come_from_any_thread(ledger: Ledger) -> None:
    def record() -> None:
        for _ in range(5):
            ledger.record(entry("v1"))
            ledger.history()

    threads = [Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [e.number for e in ledger.history()] == list(range(1, 21))


def test_two_processes_may_read_and_write(ledger: Ledger, path: Path) -> None:
    """A command reads the history while the server writes it."""
    with closing(Ledger(path)) as other:
        ledger.record(entry("v1"))
        other.record(entry("v2"))

        assert (
            [e.version for e in other.history()]
            == ["v1", "v2"]
            == [e.version for e in ledger.history()]
        )


# The chain of the history


def tampered(path: Path, statement: str) -> None:
    """Change the file as somebody with the disk in hand would: without its triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for verb in ("UPDATE", "DELETE"):
            database.execute(f"DROP TRIGGER history_keeps_{verb}")
        database.execute(statement)


def test_an_untouched_history_is_whole(ledger: Ledger) -> None:
    assert ledger.first_broken() is None

    for number in range(3):
        ledger.record(entry(f"v{number}"))

    assert ledger.first_broken() is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE history SET reason = 'no reason' WHERE number = 2", 2),
        ("UPDATE history SET at = at + 1 WHERE number = 1", 1),
        ("DELETE FROM history WHERE number = 2", 2),
        ("DELETE FROM history WHERE number = 1", 1),
        ("UPDATE history SET hash = 'x' WHERE number = 4", 4),
    ],
)
def test_the_first_entry_that_was_changed_or_removed_is_named(
    ledger: Ledger, path: Path, statement: str, broken: int
) -> None:
    for number in range(4):
        ledger.record(entry(f"v{number}"))

    tampered(path, statement)

    assert ledger.first_broken() == broken


@pytest.mark.parametrize("verb", ["UPDATE history SET actor = 'bob'", "DELETE FROM history"])
def test_the_history_can_only_be_added_to(ledger: Ledger, verb: str) -> None:
    ledger.record(entry("v1"))

    with pytest.raises(RuntimeUnwritable, match="only be added to"):
        ledger.database.write(verb)

    assert [e.actor for e in ledger.history()] == ["ann"]


def test_what_was_refused_is_told_apart_from_what_was_live(ledger: Ledger) -> None:
    ledger.record(entry("v1"))
    ledger.record(replace(entry("v2"), result="LoadFailed"))

    assert [e.version for e in ledger.history()] == ["v1"]
    assert [(e.version, e.result) for e in ledger.attempts()] == [
        ("v1", "applied"),
        ("v2", "LoadFailed"),
    ]


FORMAT_1 = """
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
INSERT INTO history VALUES (1, 12.5, 'default', 'v1', 'v0', 'sha256:0', 'admin', 'ann', '', 3, 'b');
INSERT INTO history VALUES (2, 13.5, 'default', 'v2', 'v1', 'sha256:1', 'file', '', '', 4, 'c');
INSERT INTO last_good VALUES (1, 'c', 'active: v2', 13.5);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_format_is_brought_up_to_date(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FORMAT_1)

    with closing(Ledger(path)) as ledger:
        ledger.record(entry("v3"))

        assert [e.version for e in ledger.history()] == ["v1", "v2", "v3"]
        assert ledger.first_broken() is None
    tampered(path, "UPDATE history SET actor = 'bob' WHERE number = 1")
    with closing(Ledger(path)) as ledger:
        assert ledger.first_broken() == 1
