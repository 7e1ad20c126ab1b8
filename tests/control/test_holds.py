"""Holds are in force until they are released, on the disk and in memory alike."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modeld.control.database import Database
from modeld.control.holds import Hold, Holds
from modeld.domain import ModelVersion

V2 = ModelVersion("default", "v2")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "modeld.sqlite")) as database:
        yield database


def hold(version: str = "v2", model: str = "default", digest: str = "sha256:2") -> Hold:
    return Hold(0, model, version, digest, "v1", "ann", "slow", "b1", "c1", 12.5)


def test_a_hold_is_found_by_its_version(database: Database) -> None:
    holds = Holds(database)

    added = holds.add(hold())

    assert holds.find(V2) == added
    assert holds.find(ModelVersion("default", "v1")) is None
    assert holds.find(ModelVersion("churn", "v2")) is None


@pytest.mark.parametrize(
    ("held", "asked", "is_found"),
    [
        ("sha256:2", "sha256:2", True),
        ("sha256:2", "sha256:3", False),
        ("", "sha256:3", True),
        ("sha256:2", "", True),
    ],
)
def test_another_digest_is_another_version(
    database: Database, held: str, asked: str, is_found: bool
) -> None:
    holds = Holds(database)
    holds.add(hold(digest=held))

    assert (holds.find(V2, asked) is not None) is is_found


def test_what_is_in_force_is_so_after_a_restart(database: Database) -> None:
    before = Holds(database)
    kept = before.add(hold())
    before.release([before.add(hold("v3"))], "ann")

    assert Holds(database).active == (kept,)


def test_what_was_released_stays_on_record(database: Database) -> None:
    holds = Holds(database)

    holds.release([holds.add(hold())], "a commit's trailer")

    assert holds.active == ()
    assert database.rows("SELECT version, released_by FROM hold") == [("v2", "a commit's trailer")]
