"""Versions with an environment of their own: other libraries, side by side with the server's."""

import subprocess
from collections.abc import Iterator
from importlib.metadata import version as version_of
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, eventually, is_alive, make_server

OLD = "1.5.2"
REQUIREMENTS = f"scikit-learn=={OLD}\nnumpy<2.3\n"
WHICH = """
import sklearn

class Which:
    def predict(self, rows):
        return [sklearn.__version__] * len(rows)
"""
FOREST = """
import pickle, sys
from sklearn.ensemble import RandomForestClassifier
rows = [[i, i % 7] for i in range(50)]
model = RandomForestClassifier(5, random_state=0).fit(rows, [i % 2 for i in range(50)])
pickle.dump(model, open(sys.argv[1], "wb"))
print(*model.predict([[3, 3], [4, 4]]))
"""
# A pickle that calls features.Which().
CALLS_WHICH = b"\x80\x02cfeatures\nWhich\n)R."
ROW = {"features": [3.0, 3.0]}


def write_which(folder: Path, environment: str = "") -> Path:
    """A version that answers which scikit-learn it runs with."""
    folder.mkdir()
    (folder / "features.py").write_text(WHICH)
    (folder / "model.pkl").write_bytes(CALLS_WHICH)
    manifest = "code: [features.py]\nrank: 1\n"
    if environment:
        (folder / "requirements.txt").write_text(environment)
        manifest += "environment: requirements.txt\n"
    (folder / "model.yaml").write_text(manifest)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs `new` with its own libraries, and `old` and `forest` with older ones."""
    server = make_server(tmp_path_factory.mktemp("environments") / "repository", versions=())
    write_which(server.models / "new")
    old = write_which(server.models / "old", REQUIREMENTS)
    forest = server.add_version("forest")
    for name in ("requirements.txt", "model.yaml"):
        text = (old / name).read_text().replace("code: [features.py]\n", "")
        (forest / name).write_text(text)
    server.state.write_text("active: new\n")
    with cared_for(server):
        server.start()
        server.wait_until_live("new")
        yield server


@pytest.fixture(scope="module")
def environment(running: Server) -> Path:
    """The folder of the environment, which takes a while to build."""
    refused = running.predict(ROW, "?version=old")
    assert refused.status == 422, refused.json
    assert "run modeld env build old" in refused.json["error"]
    built = running.command("env", "build", "old")
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.splitlines()[-1].removeprefix("old: "))


def test_two_versions_of_a_library_serve_side_by_side(running: Server, environment: Path) -> None:
    answers = [running.predict(ROW, f"?version={name}").json for name in ("new", "old", "new")]

    new = version_of("scikit-learn")
    assert [answer["prediction"] for answer in answers] == [new, OLD, new]


def test_equal_requirements_share_an_environment(running: Server, environment: Path) -> None:
    again = running.command("env", "build", "old", "forest")

    assert (
        again.stdout == f"old: {environment} (built before)\nforest: {environment} (built before)\n"
    )
    assert len([path for path in environment.parent.iterdir() if path.is_dir()]) == 1


def test_a_pickle_of_an_older_library_is_served_by_it(running: Server, environment: Path) -> None:
    """The server's own scikit-learn does not open it, or warns that it may answer wrongly."""
    pickle = running.models / "forest" / "model.pkl"
    trained = subprocess.run(
        [environment / "bin" / "python", "-c", FOREST, pickle],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = [int(each) for each in trained.stdout.split()]

    blob = running.write_state("active: forest\n")
    eventually(lambda: running.status()["live"]["blob"] == blob, "the forest live")
    answer = running.predict({"features": [[3, 3], [4, 4]]})

    assert answer.json["predictions"] == expected
    assert answer.headers["X-Model-Runtime"] == "native"
    loaded = running.status()["models"]["default"]["loaded"]
    libraries = next(each["libraries"] for each in loaded if each["version"] == "forest")
    assert f"scikit-learn {OLD}" in libraries


def test_a_model_is_added_with_the_libraries_that_made_it(
    running: Server, environment: Path, tmp_path: Path
) -> None:
    model, requirements = tmp_path / "old.pkl", tmp_path / "old.txt"
    requirements.write_text(REQUIREMENTS)
    python = str(environment / "bin" / "python")
    subprocess.run([python, "-c", FOREST, str(model)], check=True, capture_output=True)

    added = running.command("add", str(model), "added", "--environment", str(requirements))

    assert added.returncode == 0, added.stderr
    assert f"scikit-learn {OLD}" in added.stdout
    manifest = (running.models / "added" / "model.yaml").read_text()
    assert 'environment: "old.txt"' in manifest
    assert "old.txt: {size: " in manifest
    assert running.predict({"features": [3, 3]}, "?version=added").status == 200


def test_a_folder_that_names_its_environment_is_opened_with_it(
    running: Server, environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.txt").write_text(REQUIREMENTS)
    (tmp_path / "model.yaml").write_text("environment: old.txt\n")
    python = str(environment / "bin" / "python")
    model = str(tmp_path / "model.pkl")
    subprocess.run([python, "-c", FOREST, model], check=True, capture_output=True)

    added = running.command("add", str(tmp_path), "named")

    assert added.returncode == 0, added.stderr
    assert f"scikit-learn {OLD}" in added.stdout
    assert 'environment: "old.txt"' in (running.models / "named" / "model.yaml").read_text()


def test_without_its_own_environment_the_difference_is_told(
    running: Server, environment: Path
) -> None:
    bare = running.add_version("bare")
    trained = subprocess.run(
        [environment / "bin" / "python", "-c", FOREST, bare / "model.pkl"], check=False
    )
    assert trained.returncode == 0

    answer = running.predict(ROW, "?version=bare")
    loaded = running.status()["models"]["default"]["loaded"]
    told = [text for each in loaded if each["version"] == "bare" for text in each["warnings"]]

    here = version_of("scikit-learn")
    words = f"made with scikit-learn {OLD}, opened with {here}"
    assert words in told or (answer.status == 422 and words in answer.json["error"])


def test_a_host_in_its_own_environment_that_dies_is_started_again(
    running: Server, environment: Path
) -> None:
    running.predict(ROW, "?version=old")
    before = running.host("old")
    assert str(environment) in Path(f"/proc/{before}/maps").read_text()

    subprocess.run(["kill", "-9", str(before)], check=True)
    eventually(lambda: not is_alive(before), "the host dead")

    assert running.predict(ROW, "?version=old").json["prediction"] == OLD
    assert running.host("old") != before


def test_what_cannot_be_installed_is_said_and_nothing_is_left(running: Server) -> None:
    write_which(running.models / "broken", "numpy\nmodeld-no-such-package==9\n")

    done = running.command("env", "build", "broken")

    assert done.returncode == 1
    assert done.stderr.endswith("modeld: broken: pip failed with exit code 1; see above\n")
    assert not list((running.runtime / "environments").glob("*.unfinished"))
    running.write_state("active: broken\n")
    eventually(lambda: running.status()["last_refused"], "the refusal")
    assert "run modeld env build broken" in running.status()["summary"]
    assert running.predict(ROW).status == 200


def test_a_version_without_requirements_needs_nothing(running: Server) -> None:
    done = running.command("env", "build", "new")

    assert done.returncode == 0
    assert done.stdout == "new runs with the server's own libraries.\n"
