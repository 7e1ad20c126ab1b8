"""What the installed wheel brings."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import modeld

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_brings_one_top_level_import(wheel: zipfile.ZipFile) -> None:
    """Above all no `daemon`: the package `python-daemon` owns that name."""
    top_level = {name.split("/")[0] for name in wheel.namelist()}

    assert top_level == {"modeld", f"modeld-{modeld.__version__}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "daemon"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "modeld").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files <= set(wheel.namelist())


def test_the_wheel_brings_the_command_and_its_licence(wheel: zipfile.ZipFile) -> None:
    about = f"modeld-{modeld.__version__}.dist-info"

    assert "modeld = modeld.cli:main" in wheel.read(f"{about}/entry_points.txt").decode()
    assert f"{about}/licenses/LICENSE" in wheel.namelist()


def test_installing_the_wheel_brings_no_tools_of_the_developers(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_bytes(
        wheel.read(f"modeld-{modeld.__version__}.dist-info/METADATA"),
    )
    requirements = metadata.get_all("Requires-Dist", [])

    assert any(line.startswith("aiohttp<3.15") for line in requirements)
    assert not any(line.startswith(("pytest", "ruff", "mypy")) for line in requirements)
