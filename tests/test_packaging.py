"""What the installed wheel brings."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import modeld
from tests.support.wheels import build_wheel

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built without a network."""
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel")))


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


LINKED = [
    path.relative_to(ROOT)
    for name in ("docker-compose.yml", "prometheus.yml", "grafana")
    for path in (ROOT / name, *sorted((ROOT / name).rglob("*")))
    if path.is_file()
]


@pytest.mark.parametrize("path", LINKED, ids=str)
def test_the_wheel_brings_our_own_files_for_other_repositories(
    wheel: zipfile.ZipFile, path: Path
) -> None:
    """They are here once: in the package is a link, in the wheel what it leads to."""
    assert wheel.read(f"modeld/starter/{path}") == (ROOT / path).read_bytes()


def test_the_source_distribution_makes_the_same_wheel(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (source,) = tmp_path.glob("*.tar.gz")
    made = zipfile.ZipFile(build_wheel(tmp_path / "wheel", source))

    assert set(made.namelist()) == set(wheel.namelist())


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
