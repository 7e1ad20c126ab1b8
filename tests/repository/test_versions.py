"""Which folders are versions, which are models, and which names reach them."""

import os
import time
from pathlib import Path

import pytest

from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import (
    ArtifactNotReady,
    InvalidVersionName,
    ModelNotFound,
    VersionError,
    VersionNotFound,
)
from modeld.repository.versions import Listing, Repository


def grow(root: Path, *paths: str) -> Repository:
    """Make files, or folders where a path ends in a slash."""
    for path in paths:
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("bytes")
    return Repository(root)


def shape(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {model: listing.versions(model) for model in listing.models}


@pytest.mark.parametrize(
    ("paths", "named", "expected"),
    [
        pytest.param([], (), {}, id="an empty folder is an empty listing"),
        pytest.param(["v1/m.pkl"], (), {"default": ("v1",)}, id="a folder with files"),
        pytest.param(
            ["v10/m", "v9/m", "v1/m"], (), {"default": ("v1", "v9", "v10")}, id="natural order"
        ),
        pytest.param(["v1/"], (), {"default": ("v1",)}, id="an empty folder is a version to be"),
        pytest.param(
            ["churn/v7/m", "churn/v10/m", "v1/m"],
            (),
            {"default": ("v1",), "churn": ("v7", "v10")},
            id="a folder with only version folders is a model",
        ),
        pytest.param(
            ["v1/model.yaml", "v1/tokenizer/t.json"], (), {"default": ("v1",)}, id="a mix"
        ),
        pytest.param(
            ["v1/has space/m"], (), {"default": ("v1",)}, id="folders that are no version names"
        ),
        pytest.param(["churn/"], ("churn",), {"churn": ()}, id="a named model without versions"),
        pytest.param(
            ["churn/v1/m", "churn/has space/m"],
            ("churn",),
            {"churn": ("v1",)},
            id="a named model may hold other folders",
        ),
        pytest.param(
            ["churn/v1/m"], ("gone",), {"churn": ("v1",)}, id="a named model is not there"
        ),
        pytest.param(
            [".git/v1/m", "latest/m", "has space/m", "-v/m", "a" * 65 + "/m", "__pycache__/m"],
            (),
            {},
            id="hidden reserved and invalid names",
        ),
        pytest.param(["README.md", "v1/m"], (), {"default": ("v1",)}, id="files beside versions"),
        pytest.param(["default/v1/m"], ("default",), {}, id="no folder is the default model"),
        pytest.param(["canary/v1/m"], (), {}, id="a reserved word is no model by itself"),
        pytest.param(["canary/v1/m"], ("canary",), {"canary": ("v1",)}, id="unless it is named"),
        pytest.param(
            ["churn/.DS_Store", "churn/v1/m"],
            (),
            {"churn": ("v1",)},
            id="hidden files do not count",
        ),
    ],
)
def test_the_listing_follows_the_folders(
    tmp_path: Path, paths: list[str], named: tuple[str, ...], expected: dict[str, tuple[str, ...]]
) -> None:
    repository = grow(tmp_path, *paths)

    assert shape(repository.listing(named)) == expected


def test_a_missing_models_folder_is_an_empty_listing(tmp_path: Path) -> None:
    assert Repository(tmp_path / "models").listing() == Listing()


def test_the_default_model_comes_first(tmp_path: Path) -> None:
    repository = grow(tmp_path, "alpha/v1/m", "v1/m")

    assert repository.listing().models == (DEFAULT_MODEL, "alpha")


def test_names_that_sort_alike_keep_one_order(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v01/m", "v1/m", "v001/m")

    assert repository.listing().versions() == ("v001", "v01", "v1")


def test_a_linked_folder_is_no_version(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    grow(tmp_path, "outside/m", "models/v1/m", "models/churn/v3/m")
    (tmp_path / "models/v2").symlink_to(outside)
    (tmp_path / "models/churn/current").symlink_to("v3")

    listing = Repository(tmp_path / "models").listing()

    assert shape(listing) == {"default": ("v1",), "churn": ("v3",)}


@pytest.mark.parametrize("name", ["v1", "churn"])
def test_one_unreadable_folder_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Refused by the system call, because tests may run as root, who may read everything."""
    repository = grow(tmp_path, f"{name}/m", "v2/m")
    refuse_to_read(tmp_path / name, monkeypatch)

    assert repository.listing().versions() == tuple(sorted([name, "v2"]))


def test_an_unreadable_models_folder_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = grow(tmp_path, "v1/m")
    refuse_to_read(tmp_path, monkeypatch)

    with pytest.raises(ArtifactNotReady, match="Permission denied"):
        repository.listing()


def refuse_to_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_link_in_a_circle_stops_nothing(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v1/m", "v2/")
    for link in ("loop", "v2/loop"):
        (tmp_path / link).symlink_to("loop")

    assert repository.listing().versions() == ("v1", "v2")


def test_a_thousand_versions_are_listed_within_a_second(tmp_path: Path) -> None:
    repository = grow(tmp_path, *(f"v{number}/model.pkl" for number in range(1000)))
    grow(tmp_path, *(f"churn/v{number}/model.pkl" for number in range(1000)))

    started = time.perf_counter()
    listing = repository.listing()

    assert time.perf_counter() - started < 1
    assert listing.versions() == tuple(f"v{number}" for number in range(1000))
    assert len(listing.versions("churn")) == 1000


@pytest.mark.parametrize(
    ("version", "looked_into"),
    [
        (ModelVersion(DEFAULT_MODEL, "v1"), ["", "v1"]),
        (ModelVersion("churn", "v7"), ["", "churn"]),
    ],
)
def test_finding_a_version_looks_into_no_folder_beside_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: ModelVersion,
    looked_into: list[str],
) -> None:
    repository = grow(tmp_path, "v1/m", "v2/m", "churn/v7/m", "price/v1/m")
    scanned: list[Path] = []
    scandir = os.scandir

    def scan(path: Path) -> object:
        scanned.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)

    repository.folder(version)

    assert scanned == [tmp_path / name for name in looked_into]


def test_listing_opens_no_model_file(tmp_path: Path) -> None:
    """Opening a FIFO to read would wait for ever."""
    repository = grow(tmp_path, "v1/")
    os.mkfifo(tmp_path / "v1/model.pkl")

    assert repository.listing().versions() == ("v1",)


@pytest.mark.parametrize(
    ("version", "path"),
    [(ModelVersion("default", "v1"), "v1"), (ModelVersion("churn", "v7"), "churn/v7")],
)
def test_a_version_has_its_folder(tmp_path: Path, version: ModelVersion, path: str) -> None:
    repository = grow(tmp_path, "v1/m", "churn/v7/m")

    assert repository.folder(version) == tmp_path / path


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../v1", "v1/../v1", "/etc", "v1/", "v1\n", "v1\x00", ".hidden", "-v"),
        *("v1\\..", "C:v1", "\uff561", "v\u0661", "v1\u202e", "a" * 65, "\udcff", "%2e%2e", "v1 "),
    ],
)
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    repository = grow(tmp_path, "v1/m", "churn/v1/m")

    for version in (ModelVersion("default", name), ModelVersion(name, "v1")):
        with pytest.raises(InvalidVersionName, match="at most 64") as caught:
            repository.folder(version)
        assert str(caught.value).isascii()


@pytest.mark.parametrize("word", ["latest", "active", "default", "previous"])
def test_a_reserved_word_is_no_version(tmp_path: Path, word: str) -> None:
    repository = grow(tmp_path, f"{word}/m")

    with pytest.raises(InvalidVersionName, match="no version name"):
        repository.folder(ModelVersion("default", word))


def test_another_case_is_another_version(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v1/m")

    with pytest.raises(VersionNotFound):
        repository.folder(ModelVersion("default", "V1"))


def test_an_unknown_version_is_answered_with_those_known(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v1/m", "v2/m")

    with pytest.raises(
        VersionNotFound, match="found v1, v2; to add it, put its files in models/v9/"
    ) as e:
        repository.folder(ModelVersion("default", "v9"))

    assert e.value.known == ("v1", "v2")


def test_of_many_versions_the_message_names_the_last_ten(tmp_path: Path) -> None:
    repository = grow(tmp_path, *(f"v{number}/m" for number in range(30)))

    with pytest.raises(VersionNotFound, match=r"found 30, the last v20, .*, v29; ") as caught:
        repository.folder(ModelVersion("default", "v99"))

    assert len(caught.value.known) == 30


def test_an_unknown_version_of_a_named_model_says_where_it_goes(tmp_path: Path) -> None:
    repository = grow(tmp_path, "churn/v1/m")

    with pytest.raises(VersionNotFound, match="put its files in models/churn/v2/"):
        repository.folder(ModelVersion("churn", "v2"))


def test_an_unknown_model_is_answered_with_those_known(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v1/m", "churn/v1/m")

    with pytest.raises(ModelNotFound, match="found default, churn") as caught:
        repository.folder(ModelVersion("fraud", "v1"))

    assert caught.value.known == ("default", "churn")


def test_a_version_of_an_empty_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(VersionNotFound, match="found none"):
        Repository(tmp_path / "models").folder(ModelVersion("default", "v1"))


def test_a_version_with_only_folders_is_explained(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v2/onnx/model.onnx")

    with pytest.raises(VersionNotFound, match=r"only folders in it, which makes it a model"):
        repository.folder(ModelVersion("default", "v2"))


def test_a_name_cannot_be_a_version_and_a_model(tmp_path: Path) -> None:
    repository = grow(tmp_path, "churn/model.pkl", "churn/v1/m")

    assert shape(repository.listing(["churn"])) == {"default": ("churn",)}
    with pytest.raises(VersionError, match=r"file of its own, model\.pkl"):
        repository.folder(ModelVersion("churn", "v1"), named=["churn"])


def test_a_link_in_place_of_a_version_is_not_found(tmp_path: Path) -> None:
    repository = grow(tmp_path, "models/v1/m", "outside/m")
    (tmp_path / "models/v2").symlink_to(tmp_path / "outside")
    repository = Repository(tmp_path / "models")

    with pytest.raises(VersionNotFound):
        repository.folder(ModelVersion("default", "v2"))


def test_a_listing_knows_what_it_contains(tmp_path: Path) -> None:
    listing = grow(tmp_path, "v1/m", "churn/v1/m").listing()

    assert ModelVersion("churn", "v1") in listing
    assert ModelVersion("churn", "v2") not in listing
    assert "v1" not in listing


def test_the_path_of_what_is_listed_is_its_folder(tmp_path: Path) -> None:
    repository = grow(tmp_path, "v1/m.pkl", "churn/v7/m.pkl")

    for version in (ModelVersion(DEFAULT_MODEL, "v1"), ModelVersion("churn", "v7")):
        assert repository.path(version) == repository.folder(version)
