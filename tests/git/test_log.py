"""The commits of one file are read without running anything that the repository names."""

import subprocess
from pathlib import Path

import pytest

from modeld.git.log import log_of
from tests.support.server import GIT


class Deployments:
    """A repository with a state file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "state" / "active.yaml"
        self.file.parent.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            [*GIT, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, text: str, message: str) -> str:
        self.file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def blob(self) -> str:
        return self.git("rev-parse", "HEAD:state/active.yaml")


@pytest.fixture
def deployments(tmp_path: Path) -> Deployments:
    return Deployments(tmp_path / "repository")


def test_commits_come_newest_first_with_what_they_left(deployments: Deployments) -> None:
    first = deployments.commit("active: v1\n", "Serve v1")
    old = deployments.blob()
    second = deployments.commit(
        "active: v2\n", "Serve v2\n\nBetter.\n\nReviewed-by: Ann\nRisk: low"
    )

    found = log_of(deployments.file).commits(10, seconds=10)

    assert [(each.id, each.subject) for each in found] == [
        (second, "Serve v2"),
        (first, "Serve v1"),
    ]
    assert [each.blob for each in found] == [deployments.blob(), old]
    assert found[0].author == "Test <test@example.org>"
    assert found[0].trailers == (("Reviewed-by", "Ann"), ("Risk", "low"))
    assert found[0].at == float(deployments.git("log", "-1", "--format=%ct"))
    assert log_of(deployments.file).commits(1, seconds=10) == found[:1]


def test_commits_of_other_files_are_not_told(deployments: Deployments) -> None:
    deployments.commit("active: v1\n", "Serve v1")
    (deployments.folder / "state" / "other").write_text("x")
    deployments.commit("active: v1\n", "Something else")

    assert [c.subject for c in log_of(deployments.file).commits(9, seconds=10)] == ["Serve v1"]


def test_a_commit_that_removes_the_file_leaves_nothing(deployments: Deployments) -> None:
    deployments.commit("active: v1\n", "Serve v1")
    deployments.git("rm", "-q", "state/active.yaml")
    deployments.git("commit", "-qm", "Gone")

    assert [c.blob for c in log_of(deployments.file).commits(1, seconds=10)] == [""]


def test_a_merge_tells_the_commit_that_changed_the_file(deployments: Deployments) -> None:
    deployments.commit("active: v1\n", "Serve v1")
    deployments.git("checkout", "-q", "-b", "new")
    change = deployments.commit("active: v2\n", "Serve v2")
    deployments.git("checkout", "-q", "main")
    (deployments.folder / "README").write_text("x")
    deployments.git("add", "-A")
    deployments.git("commit", "-qm", "A readme")
    deployments.git("merge", "-q", "--no-ff", "-m", "Merge", "new")

    log = log_of(deployments.file)

    assert log.commit_of(deployments.blob(), seconds=10) == change


@pytest.mark.parametrize(
    "subject", ["\x1b[31mred\x1b[0m", "\x01abc :100644", ":100644 a b c M", "é 🚀"]
)
def test_a_subject_may_hold_anything(deployments: Deployments, subject: str) -> None:
    deployments.commit("active: v1\n", subject)
    deployments.commit("active: v2\n", "Serve v2")

    found = log_of(deployments.file).commits(9, seconds=10)

    assert [each.subject for each in found] == ["Serve v2", subject.strip()]


def test_the_commit_of_a_text_is_named_only_if_it_is_committed(deployments: Deployments) -> None:
    first = deployments.commit("active: v1\n", "Serve v1")
    old = deployments.blob()
    log = log_of(deployments.file)

    assert log.commit_of(old, seconds=10) == first

    deployments.commit("active: v2\n", "Serve v2")

    assert log.commit_of(old, seconds=10) == ""


def test_nothing_that_the_repository_names_is_run(deployments: Deployments) -> None:
    ran = deployments.folder.parent / "ran"
    program = deployments.folder.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    (deployments.folder / ".gitattributes").write_text("* diff=evil filter=evil\n")
    deployments.commit("active: v1\n", "Serve v1")
    for name in ("diff.evil.textconv", "diff.evil.command", "diff.external", "gpg.program"):
        deployments.git("config", name, str(program))
    for name in ("core.pager", "pager.log", "core.fsmonitor", "filter.evil.smudge"):
        deployments.git("config", name, str(program))
    deployments.git("config", "log.showSignature", "true")
    signed = deployments.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    written = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"],
        cwd=deployments.folder, input=f"{signed}\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    deployments.git("update-ref", "HEAD", written.stdout.strip())

    found = log_of(deployments.file).commits(9, seconds=10)

    assert [each.id for each in found] == [written.stdout.strip()]
    assert not ran.exists()


def test_without_git_there_are_no_commits(tmp_path: Path) -> None:
    (tmp_path / "active.yaml").write_text("active: v1\n")

    assert log_of(tmp_path / "active.yaml").commits(9, seconds=10) == ()
    assert log_of(tmp_path / "missing" / "active.yaml").commits(9, seconds=10) == ()


def test_a_repository_without_commits_has_none(deployments: Deployments) -> None:
    assert log_of(deployments.file).commits(9, seconds=10) == ()
