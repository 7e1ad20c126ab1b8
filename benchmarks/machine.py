"""Describe what the figures depend on: the machine, and the versions of the libraries."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import PEERS_PYTHON

_OURS = ("modeld", "aiohttp", "uvloop", "httptools", "onnxruntime", "scikit-learn", "numpy")
_PEERS = ("fastapi", "uvicorn", "uvloop", "httptools", "scikit-learn", "numpy", "skl2onnx")

_ASK = """
import json, platform, sys
from importlib.metadata import version
found = {"Python": platform.python_version()}
print(json.dumps(found | {name: version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, before anything was measured."""

    name: str
    load_before: tuple[float, float, float]
    versions: Mapping[str, Mapping[str, str]]


def describe() -> Machine:
    """Look at this machine."""
    versions = {
        "modeld and empty aiohttp": _versions(sys.executable, _OURS),
        "FastAPI": _versions(str(PEERS_PYTHON), _PEERS),
    }
    name = f"{_processor()}, {os.cpu_count()} cores, {platform.platform()}"
    return Machine(name, os.getloadavg(), versions)


def _versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run([python, "-c", _ASK, *names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
