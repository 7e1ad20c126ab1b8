"""A branch is followed over https and ssh, with what each of them asks of a client."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.followed import Followed
from tests.support.https_git import PASSWORD, HttpsRemote, https_remote
from tests.support.sshd import ssh_server

NETWORK = {"GIT_LOCAL": "off"}


@pytest.fixture
def https(followed: Followed, tmp_path: Path) -> Iterator[HttpsRemote]:
    with https_remote(followed.remote.bare, tmp_path / "https") as remote:
        yield remote


def start(followed: Followed, url: str, **environment: str) -> None:
    settings = followed.settings(GIT_URL=url, **NETWORK)
    followed.server.start(**settings, **environment)


def test_a_branch_is_followed_over_https(followed: Followed, https: HttpsRemote) -> None:
    start(followed, https.url(), GIT_SSL_CAINFO=str(https.certificate))
    followed.server.wait_until_live("v1")

    commit = followed.remote.publish("state/active.yaml", "active: v2\n")

    followed.server.wait_until_live("v2")
    followed.wait_until_followed(commit)
    assert followed.git()["url"] == f"https://localhost:{https.port}/remote.git"
    assert PASSWORD not in followed.server.log.read_text()


@pytest.mark.parametrize("has_certificate", [True, False], ids=["password", "certificate"])
def test_a_wrong_password_or_certificate_is_said(
    followed: Followed, https: HttpsRemote, has_certificate: bool
) -> None:
    trusted = {"GIT_SSL_CAINFO": str(https.certificate)} if has_certificate else {}
    start(followed, https.url("wrong" if has_certificate else PASSWORD), **trusted)

    message = followed.error("GitUnavailable")

    wanted = "Authentication failed" if has_certificate else "certificate"
    assert wanted in message, message
    assert PASSWORD not in message
    assert "wrong" not in message.replace("wrong password", "")


def test_large_files_come_over_https(followed: Followed, https: HttpsRemote) -> None:
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    remote = followed.remote
    remote.git("lfs", "install", "--local")
    remote.git("lfs", "track", "models/v3/*.onnx")
    remote.add_example("v2", "v3", is_light=True)
    remote.commit("A version in Git LFS")
    remote.publish("state/active.yaml", "active: v3\n")

    start(followed, https.url(), GIT_SSL_CAINFO=str(https.certificate))

    followed.server.wait_until_live("v3")
    assert any("/lfs-file/" in path for path in https.paths)


def test_a_branch_is_followed_over_ssh(followed: Followed, tmp_path: Path) -> None:
    with ssh_server(tmp_path / "ssh") as ssh:
        key, known = tmp_path / "key", tmp_path / "known"
        key.write_text(ssh.key + "\n")
        key.chmod(0o600)
        known.write_text(ssh.known_hosts)
        options = f"-i {key} -o IdentitiesOnly=yes -o UserKnownHostsFile={known}"
        start(
            followed,
            f"{ssh.url}{followed.remote.bare}",
            GIT_SSH_COMMAND=f"ssh {options} -o BatchMode=yes",
        )
        followed.server.wait_until_live("v1")

        commit = followed.remote.publish("state/active.yaml", "active: v2\n")

        followed.server.wait_until_live("v2")
        followed.wait_until_followed(commit)


def test_a_host_that_is_not_known_is_not_followed(followed: Followed, tmp_path: Path) -> None:
    with ssh_server(tmp_path / "ssh") as ssh:
        start(
            followed,
            f"{ssh.url}{followed.remote.bare}",
            GIT_SSH_COMMAND="ssh -F none -o BatchMode=yes -o UserKnownHostsFile=/dev/null",
        )

        assert "Host key verification failed" in followed.error("GitUnavailable")
