"""Say where things are, and give the environment that a measured program gets."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
MODELD_PYTHON = BUILD / "bench-modeld" / "bin" / "python"
FASTAPI_PYTHON = BUILD / "bench" / "bin" / "python"
PANDAS_PYTHON = BUILD / "bench-columns" / "bin" / "python"
SERVERS = ROOT / "benchmarks" / "servers"
IMPORTABLE = ROOT / "benchmarks" / "importable"


def clean_environment() -> dict[str, str]:
    """Give the environment without what would configure a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
