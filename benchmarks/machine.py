"""Describe what the figures depend on: the machine, and the versions of the libraries."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import PEERS, Peer
from benchmarks.places import FASTAPI_PYTHON, MODELD_PYTHON, PANDAS_PYTHON

_SHARED = ("scikit-learn", "numpy")
_OURS = ("modeld", "aiohttp", "uvloop", "httptools", "orjson", "onnxruntime", *_SHARED)
_FASTAPI = ("fastapi", "uvicorn", "uvloop", "httptools", *_SHARED)

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


def describe(*, has_peers: bool) -> Machine:
    """Look at this machine."""
    versions = {
        "modeld, the limit row and the empty handler": _versions(str(MODELD_PYTHON), _OURS),
        "FastAPI": _versions(str(FASTAPI_PYTHON), _FASTAPI),
        "FastAPI with columns of text": _versions(str(PANDAS_PYTHON), ("pandas", *_FASTAPI)),
    }
    for peer in PEERS if has_peers else ():
        versions[peer.server] = _of_peer(peer)
    name = f"{_processor()}, {os.cpu_count()} cores, {platform.platform()}"
    return Machine(name, os.getloadavg(), versions)


def _of_peer(peer: Peer) -> dict[str, str]:
    python = peer.build / "bin" / "python"
    try:
        return _versions(str(python), (peer.group, "uvicorn", *_SHARED))
    except (OSError, subprocess.CalledProcessError):
        return {}  # its rows say why


def _versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run([python, "-c", _ASK, *names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
