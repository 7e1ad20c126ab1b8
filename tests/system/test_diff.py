"""Two versions are compared by the server and by the command alike."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, make_server
from tests.support.versions import write_named, write_regression


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with cared_for(make_server(tmp_path_factory.mktemp("diff") / "repository")) as server:
        write_regression(server.models / "plain")
        manifest = write_named(server.models / "named") / "model.yaml"
        _measure(manifest, "0.5")
        other = write_named(server.models / "other") / "model.yaml"
        _measure(other, "0.75")
        other.write_text(other.read_text().replace("type: float64}]", "type: int32}]"))
        server.start()
        server.wait_until_live("v1")
        yield server


def _measure(manifest: Path, accuracy: str) -> None:
    manifest.write_text(f"{manifest.read_text()}trained: {{metrics: {{accuracy: {accuracy}}}}}\n")


def test_two_manifests_are_compared(running: Server) -> None:
    answer = running.get("/admin/diff?from=named&to=other")

    document = answer.json
    assert answer.status == 200
    assert [(each["name"], each["change"]) for each in document["inputs"]] == [
        ("a", "same"),
        ("b", "changed"),
    ]
    assert document["metrics"] == [
        {"name": "accuracy", "before": 0.5, "after": 0.75, "change": "changed", "difference": 0.25}
    ]
    assert document["format"]["change"] == "same"


def test_the_command_says_the_same_as_the_server(running: Server) -> None:
    done = running.command("diff", "named", "other", "--json")

    assert json.loads(done.stdout) == running.get("/admin/diff?from=named&to=other").json


def test_a_version_without_a_manifest_has_digest_format_and_sizes(running: Server) -> None:
    document = running.get("/admin/diff?from=plain&to=named").json

    size = (running.models / "plain" / "model.pkl").stat().st_size
    assert document["format"]["before"] == "pickle"
    assert document["digest"]["before"].startswith("sha256:")
    assert [(each["before"]["size"], each["change"]) for each in document["files"]] == [
        (size, "same")
    ]


def test_files_of_one_size_are_told_apart_without_manifests(running: Server) -> None:
    for name, content in (("ones", b"1"), ("twos", b"2")):
        write_regression(running.models / name)
        (running.models / name / "extra.bin").write_bytes(content)

    document = running.get("/admin/diff?from=ones&to=twos").json

    assert [(each["path"], each["change"]) for each in document["files"]] == [
        ("extra.bin", "changed"),
        ("model.pkl", "same"),
    ]


def test_the_table_shows_what_changed(running: Server) -> None:
    done = running.command("diff", "named", "other")

    assert done.returncode == 0
    assert "+0.25" in done.stdout
    assert "int32" in done.stdout


@pytest.mark.parametrize(
    ("query", "status"),
    [("from=v1", 422), ("", 422), ("from=v1&to=v9", 404), ("from=v1&to=v2&model=churn", 404)],
)
def test_what_cannot_be_compared_is_refused(running: Server, query: str, status: int) -> None:
    assert running.get(f"/admin/diff?{query}").status == status


def test_the_command_refuses_a_version_that_is_not_there(running: Server) -> None:
    done = running.command("diff", "v1", "v9")

    assert done.returncode == 1
    assert "there is no version" in done.stderr
