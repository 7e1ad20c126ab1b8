"""How commands find the running server, or say why they do not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modeld.cli.client import NoServer, place_of
from modeld.config import Settings

_NOBODY = 65534


@contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Be a user who may not look into a folder."""
    if os.getuid() == 0:
        os.seteuid(_NOBODY)
    else:
        folder.chmod(0)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        else:
            folder.chmod(0o700)


def test_the_folder_of_another_user_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)

    with as_somebody_else(folder), pytest.raises(NoServer, match="run this as that user"):
        place_of(Settings.model_construct(runtime_dir=folder))


@pytest.mark.parametrize("exists", [True, False])
def test_where_nobody_serves_there_is_no_server(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "runtime"
    if exists:
        folder.mkdir()

    with pytest.raises(NoServer, match="no server runs here"):
        place_of(Settings.model_construct(runtime_dir=folder))
