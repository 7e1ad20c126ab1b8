"""Git is run so that a repository cannot make it run anything else."""

import subprocess
import time
from pathlib import Path

import pytest

from modeld.errors import GitError, GitUnavailable, GitUrlRefused
from modeld.git.command import Git, check_url

EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path)], check=True)
    return tmp_path


def test_a_command_gives_what_git_prints(folder: Path) -> None:
    assert Git(folder).text("rev-parse", "--show-toplevel") == str(folder)
    assert Git(folder).text("hash-object", "--stdin", given=b"") == EMPTY


def test_a_failure_has_gits_own_words(folder: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse: fatal: Needed a single revision"):
        Git(folder).run("rev-parse", "--verify", "nowhere^{commit}", "--")
    assert Git(folder).ask("rev-parse", "--verify", "-q", "nowhere") is None


def test_a_command_that_hangs_is_ended_with_its_children(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    hanging = f"!sh -c 'echo $$ > {marker}; sleep 100'"
    began = time.monotonic()

    with pytest.raises(GitUnavailable, match="did not end within"):
        Git(folder).run("-c", f"alias.hang={hanging}", "hang", seconds=1.0)

    assert time.monotonic() - began < 5
    pid = int(marker.read_text())
    assert not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/team/models.git",
        "https://user:secret@example.org/team/models.git",
        "ssh://git@example.org/team/models.git",
        "ssh://git@example.org:2222/team/models.git",
        "git@example.org:team/models.git",
    ],
)
def test_addresses_that_are_followed(url: str) -> None:
    check_url(url, allows_local=False)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "fd::17",
        "file:///srv/models.git",
        "/srv/models.git",
        "../models.git",
        "http://example.org/models.git",
        "git://example.org/models.git",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=touch /tmp/x",
        "ssh://-oProxyCommand=touch/x",
        "-oProxyCommand=x:path",
        "https://example.org/a b",
        "",
    ],
)
def test_addresses_that_are_refused_before_git_runs(url: str) -> None:
    with pytest.raises(GitUrlRefused):
        check_url(url, allows_local=False)


def test_local_paths_are_followed_when_allowed() -> None:
    check_url("/srv/models.git", allows_local=True)
    check_url("file:///srv/models.git", allows_local=True)
    with pytest.raises(GitUrlRefused):
        check_url("ext::sh -c x", allows_local=True)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(GitUrlRefused) as caught:
        check_url("http://user:secret@example.org/x", allows_local=False)

    assert "secret" not in str(caught.value)
