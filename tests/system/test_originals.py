"""Change or delete the files of the version that is live: it serves on, and it is said."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, eventually, make_server

pytestmark = pytest.mark.light

ROW = {"features": [1.0, 2.0, 3.0, 4.0]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("originals") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


def warnings(server: Server) -> list[str]:
    found: list[str] = server.status()["live"]["warnings"]
    return found


def test_changed_files_are_said_until_they_are_put_back(running: Server) -> None:
    model = running.models / "v1" / "model.onnx"
    content = model.read_bytes()

    model.write_bytes(content + b"\x00")
    eventually(lambda: warnings(running), "a warning")

    assert "v1: it serves, but its files have changed since" in warnings(running)[0]
    assert running.predict(ROW).json == {"prediction": 10.0, "model_version": "v1"}
    assert "files have changed" in running.command("status", "--json").stdout
    model.write_bytes(content)
    eventually(lambda: not warnings(running), "the warning gone")


def test_a_deleted_folder_is_said_and_the_version_serves_on(
    running: Server, tmp_path: Path
) -> None:
    kept = tmp_path / "v1"
    shutil.move(running.models / "v1", kept)
    eventually(lambda: warnings(running), "a warning")

    assert "v1: it serves, but could not be loaded again: " in warnings(running)[0]
    assert running.predict(ROW).status == 200
    assert running.admin("set-active-version", {"version": "v2"}).status == 200
    eventually(lambda: not warnings(running), "no warning for what is not live")
    shutil.move(kept, running.models / "v1")
