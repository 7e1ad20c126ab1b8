"""Lay out what modeld serves: versions, the wish, a runtime folder; and say how it is started."""

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.models import Model
from benchmarks.places import FASTAPI_PYTHON, IMPORTABLE, MODELD_PYTHON, SERVERS

_CONVERSION_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder that modeld serves from."""

    folder: Path

    @property
    def models(self) -> Path:
        """The folder of versions."""
        return self.folder / "models"

    @property
    def state(self) -> Path:
        """The wish."""
        return self.folder / "state" / "active.yaml"

    @property
    def runtime(self) -> Path:
        """The runtime folder, which has the cache of compiled models."""
        return self.folder / "runtime"

    def command(self, workers: int = 1) -> tuple[str, ...]:
        """The command that serves it."""
        places = ("--models", str(self.models), "--state", str(self.state))
        serve = (str(MODELD_PYTHON), "-m", "modeld", "serve", "--workers", str(workers))
        return (*serve, *places, "--port", "{port}")

    def environment(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """What configures it."""
        places = {"PYTHONPATH": str(IMPORTABLE), "MODELD_RUNTIME_DIR": str(self.runtime)}
        return places | {f"MODELD_{name.upper()}": value for name, value in settings.items()}

    def wish(self, version: str) -> None:
        """Ask for a version, as an editor does: the file is replaced in one step."""
        self.state.parent.mkdir(exist_ok=True)
        text = self.state.with_suffix(".next")
        text.write_text(f"active: {version}\n")
        text.rename(self.state)

    def forget(self) -> None:
        """Remove what modeld remembers, its cache included: the next start is a first one."""
        shutil.rmtree(self.runtime, ignore_errors=True)


def deploy(folder: Path, versions: Mapping[str, Model]) -> Deployment:
    """Lay out models as they were trained; the first version is the active one."""
    for version, model in versions.items():
        shutil.copy(model.file, _new_version(folder, version, model))
    return _deployment(folder, versions)


def drop_in(folder: Path, versions: Mapping[str, Model]) -> Deployment:
    """Lay out models that were converted to ONNX before."""
    for version, model in versions.items():
        target = _new_version(folder, version, model) / "model.onnx"
        features = str(len(model.samples.inputs[0]))
        convert = (str(FASTAPI_PYTHON), str(SERVERS / "to_onnx.py"))
        done = subprocess.run(
            (*convert, str(model.file), features, str(target)),
            capture_output=True,
            text=True,
            timeout=_CONVERSION_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{model.kind.name} cannot be converted:\n{done.stderr}")
    return _deployment(folder, versions)


def copy_version(deployment: Deployment, version: str, copies: int) -> list[str]:
    """Add copies of a version, which share its bytes on the disk; gives their names."""
    names = [f"copy-{number:04}" for number in range(copies)]
    for name in names:
        source, target = deployment.models / version, deployment.models / name
        shutil.copytree(source, target, copy_function=os.link)
    return names


def compiled_file(deployment: Deployment) -> Path:
    """Find the ONNX file that modeld serves: compiled by itself, or dropped in."""
    dropped = deployment.models / "v1" / "model.onnx"
    if dropped.exists():
        return dropped
    found = sorted((deployment.runtime / "compiled").rglob("*.onnx"))
    if len(found) != 1:
        raise BenchmarkError(f"one compiled file was due under {deployment.runtime}, found {found}")
    return found[0]


@functools.cache
def known_settings() -> frozenset[str]:
    """Ask modeld for the names of its settings.

    In a process of its own: the libraries that this one has mapped would be shared with the
    measured servers.
    """
    ask = "from modeld.config import Settings; print(*Settings.model_fields)"
    done = subprocess.run(
        [MODELD_PYTHON, "-c", ask], capture_output=True, text=True, check=True, timeout=60
    )
    return frozenset(done.stdout.split())


def _new_version(folder: Path, version: str, model: Model) -> Path:
    target = folder / "models" / version
    target.mkdir(parents=True)
    shutil.copy(model.folder / "samples.json", target)
    return target


def _deployment(folder: Path, versions: Mapping[str, Model]) -> Deployment:
    deployment = Deployment(folder)
    deployment.wish(next(iter(versions)))
    return deployment
