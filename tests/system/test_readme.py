"""Type the demo of README.md as it is printed, and compare what comes out line by line.

The port alone is another one, because 8000 may be taken.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modeld.config import Settings
from tests.support.server import ROOT, eventually

README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACE = "127.0.0.1:8000"
USED_BY_THE_DEMO = ("Makefile", "pyproject.toml", "requirements.lock", "models", "state")
END = "-- end of the answer --"

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="the demo uses curl")


@dataclass(frozen=True)
class Command:
    """One line that a reader types, and the lines that the README shows below it."""

    typed: str
    shown: tuple[str, ...]


def transcripts() -> list[list[Command]]:
    """Read the fenced `console` blocks."""
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [_commands(block) for block in blocks]


def _commands(block: str) -> list[Command]:
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    lines = [part.splitlines() for part in parts]
    return [Command(typed, tuple(shown)) for typed, *shown in lines]


@dataclass(frozen=True)
class Demo:
    """A copy of the repository in which `make serve` runs, and what that has printed."""

    folder: Path
    port: int
    printed: Path

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Do what a reader does before typing the second block."""
    folder, printed = _copy(tmp_path / "modeld"), tmp_path / "printed"
    with printed.open("wb") as output, (tmp_path / "log").open("wb") as log:
        make = subprocess.Popen(
            ["make", "serve"],
            cwd=folder,
            env=_environment() | {"MODELD_PORT": "0"},
            stdout=output,
            stderr=log,
        )
    pid = 0
    try:
        eventually(lambda: "Try:" in printed.read_text(), "a line that works")
        about = json.loads((folder / ".git/modeld/server.json").read_text())
        pid = about["pid"]
        yield Demo(folder, about["port"], printed)
        os.kill(pid, signal.SIGTERM)
        assert make.wait(30) == 0
    finally:
        if make.poll() is None:
            for process in filter(None, (pid, make.pid)):
                os.kill(process, signal.SIGKILL)
            make.wait()


def _copy(folder: Path) -> Path:
    """Copy what the demo uses, as a repository with one commit and an installed `.venv`."""
    folder.mkdir()
    for name in USED_BY_THE_DEMO:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("/.venv/\n")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "Start")
    environment = folder / ".venv"
    environment.mkdir()
    (environment / "bin").symlink_to(Path(sys.executable).parent)
    (environment / ".installed").touch()
    return folder


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    """Give a reader's environment: no settings of ours, and git knows who commits."""
    strange = re.compile("MODELD_|GIT_|MAKE|MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not strange.match(name)}
    names = {f"GIT_{who}_NAME": "Reader" for who in ("AUTHOR", "COMMITTER")}
    emails = {f"GIT_{who}_EMAIL": "reader@example.org" for who in ("AUTHOR", "COMMITTER")}
    return kept | names | emails | {"GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


def _type(commands: list[Command], demo: Demo) -> list[list[str]]:
    """Type commands into one shell; gives the lines that each of them printed."""
    typed = "".join(f"{command.typed}\necho '{END}'\n" for command in commands)
    done = subprocess.run(
        ["bash"],
        input=typed.replace(PLACE, demo.place),
        cwd=demo.folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    )
    answers = done.stdout.split(f"{END}\n")
    assert answers.pop() == ""
    return [answer.splitlines() for answer in answers]


def test_the_demo_answers_what_the_readme_shows(demo: Demo) -> None:
    _, commands, _ = transcripts()

    answers = _type(commands, demo)

    shown = [(command.typed, list(command.shown)) for command in commands]
    assert [(c.typed, a) for c, a in zip(commands, answers, strict=True)] == shown


def test_a_model_is_added_as_the_readme_shows(demo: Demo) -> None:
    *_, commands = transcripts()

    answers = _type(commands, demo)

    assert answers == [list(command.shown) for command in commands]


def test_serving_prints_what_the_readme_shows(demo: Demo) -> None:
    """All but the time, and what stands for the log and the installation."""
    [serve], *_ = transcripts()

    printed = demo.printed.read_text().replace(demo.place, PLACE)

    assert serve.typed == "make serve"
    assert serve.shown[0] == "…"
    assert _timeless(printed.splitlines()) == _timeless(serve.shown[1:])


def _timeless(lines: list[str] | tuple[str, ...]) -> list[str]:
    return [re.sub(r"\d\d:\d\d", "hh:mm", line) for line in lines]


def test_the_readme_names_every_setting() -> None:
    rows = re.findall(r"^\| `MODELD_(\w+)`", README, re.MULTILINE)

    assert [name.lower() for name in rows] == list(Settings.model_fields)
