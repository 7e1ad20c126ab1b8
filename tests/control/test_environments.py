"""Environments of versions: found by content, whole or not there."""

from pathlib import Path

import pytest

from modeld.control.environments import Environments, environment_id
from modeld.domain import ModelVersion
from modeld.errors import EnvironmentNotBuilt, LoadFailed

V3 = ModelVersion("default", "v3")


def test_the_content_decides_which_environment_it_is() -> None:
    assert environment_id(b"numpy\n") == environment_id(b"numpy\n")
    assert environment_id(b"numpy\n") != environment_id(b"numpy<2\n")


def test_one_that_is_not_built_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotBuilt, match="run modeld env build v3"):
        Environments(tmp_path).python(environment_id(b""), V3)


@pytest.mark.parametrize(
    "line", ["-r other.txt", "--requirement=o.txt", " -c pins.txt", "-e .", "--editable ."]
)
def test_requirements_that_point_elsewhere_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(LoadFailed, match=r"line 2 of its requirements has -"):
        Environments(tmp_path / "new").build(f"numpy\n{line}\n".encode())

    assert not (tmp_path / "new").exists()


def test_one_without_numpy_is_not_kept(tmp_path: Path) -> None:
    """No host could start in it."""
    with pytest.raises(LoadFailed, match="numpy, which every host needs"):
        Environments(tmp_path).build(b"# nothing\n")

    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
