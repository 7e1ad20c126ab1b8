"""A version arrives whole, or nothing of it is left."""

import fcntl
import os
from pathlib import Path

import pytest

from modeld.domain import ModelVersion
from modeld.errors import InvalidVersionName, ModelNotFound, VersionExists
from modeld.repository.arrival import Arrival, arriving, next_version
from modeld.repository.versions import Repository

V3 = ModelVersion("default", "v3")
CHURN = ModelVersion("churn", "v1")


@pytest.mark.parametrize(
    ("versions", "following"),
    [
        ((), "v1"),
        (("v1", "v2"), "v3"),
        (("v9", "v10"), "v11"),
        (("v009",), "v010"),
        (("c1", "c2"), "c3"),
        (("7",), "8"),
        (("v2", "winter"), "v3"),
        (("winter",), "v1"),
        (("1.4.9",), "1.4.10"),
    ],
)
def test_the_next_version_follows_in_natural_order(
    versions: tuple[str, ...], following: str
) -> None:
    assert next_version(versions) == following


def fill(arrival: Arrival) -> None:
    (arrival.folder / "model.pkl").write_bytes(b"model")


@pytest.mark.parametrize("version", [V3, CHURN])
def test_a_version_takes_its_place_whole(tmp_path: Path, version: ModelVersion) -> None:
    models = tmp_path / "models"
    with arriving(models, version, ()) as arrival:
        fill(arrival)
        assert Repository(models).listing().models == ()
        assert Repository(arrival.root).folder(version) == arrival.folder
        arrival.settle()

    assert (Repository(models).folder(version) / "model.pkl").read_bytes() == b"model"
    assert not list(models.glob(".*"))


@pytest.mark.parametrize("version", [V3, CHURN])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_one_that_does_not(
    tmp_path: Path, version: ModelVersion, error: type[BaseException]
) -> None:
    def fail() -> None:
        with arriving(tmp_path / "models", version, ()) as arrival:
            fill(arrival)
            raise error

    with pytest.raises(error):
        fail()

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [V3, CHURN])
def test_one_that_is_withdrawn_leaves_nothing(tmp_path: Path, version: ModelVersion) -> None:
    with arriving(tmp_path / "models", version, ()) as arrival:
        fill(arrival)
        arrival.settle()
        arrival.withdraw()

    assert not list(tmp_path.iterdir())


def test_a_version_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "v3").mkdir()

    with pytest.raises(VersionExists, match="v3 is there already"), arriving(tmp_path, V3, ()):
        pass


def test_of_two_at_once_the_second_is_refused(tmp_path: Path) -> None:
    with arriving(tmp_path, V3, ()) as first, arriving(tmp_path, V3, ()) as second:
        fill(first)
        fill(second)
        first.settle()
        with pytest.raises(VersionExists):
            second.settle()

    assert [path.name for path in tmp_path.iterdir()] == ["v3"]


def test_what_a_killed_writer_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    dead, busy = tmp_path / ".adding-dead", tmp_path / ".adding-busy"
    for folder in (dead, busy):
        (folder / "v9").mkdir(parents=True)
    lock = os.open(busy, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with arriving(tmp_path, V3, ()):
        pass

    os.close(lock)
    assert not dead.exists()
    assert (busy / "v9").exists()


@pytest.mark.parametrize(
    ("model", "version", "error"),
    [
        ("default", "../v1", InvalidVersionName),
        ("default", "latest", InvalidVersionName),
        ("latest", "v1", InvalidVersionName),
        ("v1", "v2", ModelNotFound),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    tmp_path: Path, model: str, version: str, error: type[Exception]
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "model.pkl").touch()

    with pytest.raises(error), arriving(tmp_path, ModelVersion(model, version), ()):
        pass
