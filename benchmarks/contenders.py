"""Name the servers that are compared, and prepare what each one serves.

The models are those of the repository, with their golden samples. The ONNX versions are
converted for the run and dropped beside copies of the samples, with no manifest.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.errors import BenchmarkError

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
PEERS_PYTHON = ROOT / "build" / "bench" / "bin" / "python"

BARE = "aiohttp, empty handler"
FASTAPI_REGRESSION = "FastAPI, regression"
FASTAPI_FOREST = "FastAPI, forest"
FASTAPI_PLAIN = "FastAPI, regression, def"
NATIVE_REGRESSION = "modeld, regression"
NATIVE_FOREST = "modeld, forest"
ONNX_REGRESSION = "modeld, regression as ONNX"
ONNX_FOREST = "modeld, forest as ONNX"

BASELINES = {
    NATIVE_REGRESSION: FASTAPI_REGRESSION,
    ONNX_REGRESSION: FASTAPI_REGRESSION,
    NATIVE_FOREST: FASTAPI_FOREST,
    ONNX_FOREST: FASTAPI_FOREST,
}

_SERVERS = Path(__file__).with_name("servers")
_REGRESSION = "v1"
_FOREST = "v2"


@dataclass(frozen=True, slots=True)
class Samples:
    """Golden samples: rows, and what the model answers to each."""

    inputs: tuple[tuple[float, ...], ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contender:
    """A server: the command that starts it (its port is added last) and what it must answer."""

    name: str
    command: tuple[str, ...]
    samples: Samples
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    runs: str = ""


def prepare(folder: Path) -> tuple[Contender, ...]:
    """Prepare all of them, with their files in a temporary folder."""
    if not PEERS_PYTHON.exists():
        raise BenchmarkError("the servers to compare with are not installed; run `make bench`")
    regression = read_samples(_REGRESSION)
    ones = Samples(regression.inputs, (1,) * len(regression.inputs))
    bare = (sys.executable, str(_SERVERS / "bare_aiohttp.py"))
    return (
        Contender(BARE, bare, ones, folder),
        _fastapi(FASTAPI_REGRESSION, _REGRESSION, folder),
        _fastapi(FASTAPI_FOREST, _FOREST, folder),
        _fastapi(FASTAPI_PLAIN, _REGRESSION, folder, form="def"),
        _modeld(NATIVE_REGRESSION, _REGRESSION, folder / "regression", MODELS),
        _modeld(NATIVE_FOREST, _FOREST, folder / "forest", MODELS),
        _onnx(ONNX_REGRESSION, _REGRESSION, folder / "regression-onnx"),
        _onnx(ONNX_FOREST, _FOREST, folder / "forest-onnx"),
    )


def read_samples(version: str) -> Samples:
    """Read the golden samples of a version of the repository."""
    found = json.loads((MODELS / version / "samples.json").read_text())
    return Samples(tuple(map(tuple, found["inputs"])), tuple(found["outputs"]))


def _fastapi(name: str, version: str, folder: Path, form: str = "async") -> Contender:
    script, model = _SERVERS / "plain_fastapi.py", MODELS / version / "model.pkl"
    command = (str(PEERS_PYTHON), str(script), str(model), form)
    return Contender(name, command, read_samples(version), folder)


def _modeld(name: str, version: str, folder: Path, models: Path) -> Contender:
    folder.mkdir(exist_ok=True)
    state = folder / "active.yaml"
    state.write_text(f"active: {version}\n")
    places = ("--models", str(models), "--state", str(state))
    return Contender(
        name,
        (sys.executable, "-m", "modeld", "serve", "--workers", "1", *places, "--port"),
        read_samples(version),
        folder,
        {"MODELD_RUNTIME_DIR": str(folder / "runtime")},
        runs="in a host" if models == MODELS else "in the workers",
    )


def _onnx(name: str, version: str, folder: Path) -> Contender:
    target = folder / "models" / version
    target.mkdir(parents=True)
    shutil.copy(MODELS / version / "samples.json", target)
    features = str(len(read_samples(version).inputs[0]))
    source = str(MODELS / version / "model.pkl")
    script = str(_SERVERS / "to_onnx.py")
    convert = (str(PEERS_PYTHON), script, source, features, str(target / "model.onnx"))
    done = subprocess.run(convert, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{name}: the model cannot be converted:\n{done.stderr}")
    return _modeld(name, version, folder, folder / "models")


def clean_environment() -> dict[str, str]:
    """Give the environment without what would configure a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
