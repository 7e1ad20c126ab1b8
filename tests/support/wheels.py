"""Build the wheel of this tree, and environments to install it into, without a network."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.server import ROOT


def build_wheel(folder: Path, source: Path = ROOT) -> Path:
    """Build the wheel of this tree, or of a source distribution, into a folder."""
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def make_environment(folder: Path, wheel: Path) -> dict[str, str]:
    """Make a virtual environment in which pip finds the wheel; gives what its programs need.

    What modeld depends on is taken from the environment of the tests.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("modeld", "_editable", "__pycache__")):
            (packages / path.name).symlink_to(path)
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
