"""Run the examples as a newcomer would, and ask a server for what they added."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT, Server, cared_for, make_server

EXAMPLES = ROOT / "examples"
CASES: dict[str, tuple[Any, Any]] = {
    "text": ("wonderful music", "good"),
    "columns": ({"area": 80.0, "floor": None, "district": "old town"}, pytest.approx(1320, 0.05)),
    "own_class": ([17.0, 20.0], "heat"),
    "skops_file": ([5.1, 3.5, 1.4, 0.2], 0),
    "onnx_file": ([6.3, 3.3, 6.0, 2.5], 2),
}
"""Each example with a row and its answer."""


def run(server: Server, *command: str | Path) -> str:
    """Run something in the server's folder, with the commands of this installation."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, *command],
        cwd=server.folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("examples") / "repository"
    with cared_for(make_server(folder, ("v1",), is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.mark.parametrize("name", CASES)
def test_an_example_adds_a_version_that_answers(running: Server, name: str) -> None:
    before = set(running.models.iterdir())
    row, expected = CASES[name]

    said = run(running, EXAMPLES / f"{name}.py")

    (version,) = (folder.name for folder in set(running.models.iterdir()) - before)
    assert f"{version} is added" in said or f"Added {version}" in said
    answer = running.predict({"features": row}, f"?version={version}")
    assert answer.status == 200, answer.json
    assert answer.json["prediction"] == expected


def test_the_notebook_trains_adds_activates_and_predicts(running: Server, tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert "127.0.0.1:8000" in code
    script = tmp_path / "notebook.py"
    ours = code.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}")
    script.write_text(f"{ours}\nprint(json.dumps(answer))\n")

    said = run(running, script).splitlines()

    answer = json.loads(said[-1])
    assert answer["model_version"] == running.live()
    assert answer["model_version"] != "v1"
    assert max(answer["probabilities"]) > 0.5
    assert any("trained on more wines" in line for line in said)


def test_every_example_is_tried() -> None:
    """Those that are not here are `train.py`, which made the demo, and one that needs torch."""
    tried = {f"{name}.py" for name in CASES} | {"notebook.ipynb"}

    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        *tried,
        "train.py",
        "hugging_face.py",
    }
