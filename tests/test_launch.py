"""How a process of ours starts."""

import gc
import subprocess
from pathlib import Path

import pytest

from modeld import launch

PROGRAM = """
import gc, sys

WHILE_IMPORTED = gc.isenabled()


def main():
    print(WHILE_IMPORTED, gc.isenabled(), gc.get_freeze_count() > 0, *sys.argv[1:])
"""


def test_a_program_is_imported_with_the_collector_at_rest_and_runs_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    done = subprocess.run(
        launch.command("program", 3, 4), capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "False True True 3 4\n"


def test_the_collector_is_back_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), launch.importing():
        raise ModuleNotFoundError("no module named 'somewhere'")

    assert gc.isenabled()
    gc.unfreeze()
