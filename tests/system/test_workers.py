"""Look inside a live worker: what it has imported, and that it cannot unpickle."""

import json
import os
import signal
from pathlib import Path

from tests.support.server import Server, eventually

# Runs inside every Python process of the server; on SIGUSR2 it reports and tries to unpickle.
PROBE = """
import json, os, signal, sys

def attempts():
    import io, pickle, _pickle, numpy
    evil = pickle.dumps(os.getcwd)
    yield "pickle", lambda: pickle.loads(evil)
    yield "_pickle", lambda: _pickle.loads(evil)
    yield "python", lambda: pickle._Unpickler(io.BytesIO(evil)).load()
    array = io.BytesIO()
    numpy.save(array, numpy.array([os.getcwd], dtype=object), allow_pickle=True)
    array.seek(0)
    yield "numpy", lambda: numpy.load(array, allow_pickle=True)

def report(*_):
    found = {"modules": sorted(sys.modules), "environment": sorted(os.environ), "loaded": {}}
    for name, attempt in attempts():
        try:
            found["loaded"][name] = repr(attempt())
        except RuntimeError as error:
            found["loaded"][name] = str(error)
    path = os.environ["PROBE_FOLDER"] + "/" + str(os.getpid())
    with open(path + ".tmp", "w") as file:
        json.dump(found, file)
    os.rename(path + ".tmp", path)

signal.signal(signal.SIGUSR2, report)
"""


def test_a_live_worker_is_small_and_cannot_unpickle(repository: Server, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PROBE)
    repository.start(
        PYTHONPATH=str(tmp_path / "site"),
        PROBE_FOLDER=str(tmp_path),
        MODELD_ADMIN_TOKEN="a-token-of-sixteen-or-more",
    )
    pids = [w["pid"] for w in _status(repository)["processes"]["workers"]]

    os.kill(pids[0], signal.SIGUSR2)
    eventually((tmp_path / str(pids[0])).exists, "the worker's report")
    report = json.loads((tmp_path / str(pids[0])).read_text())

    modules = set(report["modules"])
    unwanted = ("sklearn", "joblib", "pandas", "scipy", "pydantic", "prometheus_client", "sqlite3")
    assert not [name for name in modules if name.split(".")[0] in unwanted]
    ours = [name for name in modules if name.startswith("modeld.")]
    assert "modeld.serving.worker" in ours or "modeld.serving.routes" in ours
    assert not [name for name in ours if name.startswith(("modeld.control", "modeld.config"))]
    refusal = "a worker does not unpickle"
    assert report["loaded"] == dict.fromkeys(("pickle", "_pickle", "python", "numpy"), refusal)
    assert not [name for name in report["environment"] if name.startswith("MODELD_")]


def _status(server: Server) -> dict[str, dict[str, list[dict[str, int]]]]:
    def look() -> dict[str, dict[str, list[dict[str, int]]]] | None:
        done = server.command("status", "--json")
        content: dict[str, dict[str, list[dict[str, int]]]] = json.loads(done.stdout or "{}")
        workers = content.get("processes", {}).get("workers", [])
        return content if all(w["serves"] for w in workers) and workers else None

    return eventually(look, "workers that serve")
