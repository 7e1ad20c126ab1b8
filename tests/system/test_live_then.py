"""`modeld predict --at` over a history that a real server wrote."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from tests.support.server import Server, cared_for, make_server

TABLE = "a,b,c,d\n1,2,3,4\n"
ANSWERS = "a,b,c,d,prediction\n1,2,3,4,10.0\n"


class Lived(NamedTuple):
    """The files that a server has left, and when each version went live."""

    server: Server
    moments: dict[str, float]

    def predict(self, at: str) -> subprocess.CompletedProcess[str]:
        return self.server.command("predict", "t.csv", "--at", at)

    def at(self, version: str, seconds: float = 0.001) -> str:
        """A moment so long after a version went live, as a person would write it."""
        return datetime.fromtimestamp(self.moments[version] + seconds, UTC).isoformat()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """The files of a server that has served v1, then v2 by a commit, then v3 by a call."""
    folder = tmp_path_factory.mktemp("lived") / "repository"
    server = make_server(folder, versions=("v1", "v2", "v3"), is_light=True)
    (server.folder / "t.csv").write_text(TABLE)
    with cared_for(server):
        server.start()
        server.wait_until_live("v1")
        server.write_state("active: v2\n")
        server.git("commit", "-qam", "Serve v2")
        server.wait_until_live("v2")
        content = {"version": "v3", "reason": "v2 is slow", "actor": "ann", "hold": False}
        assert server.admin("set-active-version", content).status == 200
        entries = server.get("/admin/history").json["entries"]
        server.stop()
        yield Lived(server, {e["version"]: e["at"] for e in entries if e["number"]})


@pytest.mark.parametrize(
    ("version", "cause"),
    [
        ("v1", "(First state)"),
        ("v2", "of Test (Serve v2)"),
        ("v3", "by admin of ann (v2 is slow)"),
    ],
)
def test_what_was_live_then_answers(version: str, cause: str, lived: Lived) -> None:
    done = lived.predict(lived.at(version))

    assert (done.returncode, done.stdout) == (0, ANSWERS), done.stderr
    assert done.stderr.startswith(f"1 rows by {version}, live at 20")
    assert done.stderr.endswith(f"{cause}\n")


def test_before_the_first_version_nothing_was_live(lived: Lived) -> None:
    done = lived.predict(lived.at("v1", -1.0))

    assert done.returncode == 1
    assert "no version of the model default was live at 20" in done.stderr


def test_a_time_without_a_zone_is_the_machines(lived: Lived) -> None:
    moment = datetime.fromisoformat(lived.at("v3")).astimezone(None).replace(tzinfo=None)

    done = lived.predict(f"{moment:%Y-%m-%d %H:%M:%S.%f}")

    assert done.stderr.startswith(f"1 rows by v3, live at {moment:%Y-%m-%d %H:%M:%S}: since ")


def test_a_version_that_is_not_as_it_was_is_refused(lived: Lived) -> None:
    """The last test: it changes the files."""
    models = lived.server.models
    shutil.copytree(models / "v3", models / "v2", dirs_exist_ok=True)
    shutil.rmtree(models / "v1")

    changed, gone = lived.predict(lived.at("v2")), lived.predict(lived.at("v1"))

    assert (changed.returncode, gone.returncode) == (1, 1)
    assert changed.stderr.startswith("modeld: nothing is predicted: v2 has other bytes now (")
    assert "than those that were live at 20" in changed.stderr
    assert gone.stderr.startswith("modeld: nothing is predicted: the files of v1 are gone, those")
    assert gone.stderr.endswith("): check out a commit that has them\n")
