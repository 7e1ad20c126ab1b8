"""Keep virtual environments for versions that need other libraries than the server has.

One is built ahead, by `modeld env build`, from the requirements file that a version brings,
and found again by that file's content: versions with equal files share one. The server
builds nothing. An environment is there as a whole or not at all.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from modeld.control.environment import child_environment
from modeld.domain import ModelVersion
from modeld.errors import EnvironmentNotBuilt, LoadFailed
from modeld.locks import locked

_POINTS_ELSEWHERE = re.compile(r"^\s*(-r|-c|-e|--requirement|--constraint|--editable)\b")
_HOST_NEEDS = "numpy"


def environment_id(requirements: bytes) -> str:
    """Name the environment of a requirements file, with this Python on this machine."""
    python = f"{platform.python_version()} {platform.machine()} {sys.platform}"
    return hashlib.sha256(requirements + python.encode()).hexdigest()[:16]


class Built(NamedTuple):
    """An environment, and whether it was not there before."""

    folder: Path
    is_new: bool


class Environments:
    """The environments under a folder, each by its id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def python(self, name: str, version: ModelVersion) -> Path:
        """Give the interpreter for a version; raises `EnvironmentNotBuilt`."""
        python = self._folder / name / "bin" / "python"
        if not python.exists():
            raise EnvironmentNotBuilt(
                f"{version} has an environment of its own, which is not built here: run "
                f"modeld env build {version.version}"
            )
        return python

    def has(self, name: str) -> bool:
        """Tell whether an environment is built."""
        return (self._folder / name / "bin" / "python").exists()

    def build(self, requirements: bytes) -> Built:
        """Build the environment of a requirements file's content, unless it is there.

        What pip has to say goes to standard error. Raises `LoadFailed` with what is
        wrong, and `OSError`.
        """
        _check(requirements)
        name = environment_id(requirements)
        target = self._folder / name
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder / f"{name}.lock"):
            if self.has(name):
                return Built(target, is_new=False)
            unfinished = self._folder / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                _install(unfinished, requirements)
                unfinished.rename(target)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return Built(target, is_new=True)


def _check(content: bytes) -> None:
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        if found := _POINTS_ELSEWHERE.match(line):
            raise LoadFailed(
                f"line {number} of its requirements has {found[1]}: the file must say it all, "
                "since it alone tells one environment from another"
            )


def _install(folder: Path, requirements: bytes) -> None:
    python = str(folder / "bin" / "python")
    _run("python -m venv", [sys.executable, "-m", "venv", str(folder)])
    file = folder / "requirements.txt"
    file.write_bytes(requirements)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--requirement"]
    _run("pip", [python, *install, str(file)])
    _run(
        f"importing {_HOST_NEEDS}, which every host needs (add it to the requirements),",
        [python, "-P", "-c", f"import {_HOST_NEEDS}"],
    )


def _run(what: str, command: list[str]) -> None:
    environment = child_environment(is_host=True, is_alone=True)
    done = subprocess.run(command, check=False, env=environment, stdout=sys.stderr)
    if done.returncode:
        raise LoadFailed(f"{what} failed with exit code {done.returncode}; see above")
