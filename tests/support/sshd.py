"""Run an ssh server on a port of its own, which lets one key of its own in."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import eventually

_CONFIGURATION = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@dataclass(frozen=True)
class SshServer:
    """Where it is, what its key is known as, and the private key that it lets in."""

    url: str
    known_hosts: str
    key: str


@contextlib.contextmanager
def ssh_server(folder: Path, *, command: str = "") -> Iterator[SshServer]:
    """Start it; with `command`, the key may run that alone."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("openssh-server is not installed")
    folder.mkdir()
    for name in ("host", "user"):
        options = ("-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        subprocess.run(["ssh-keygen", *options], check=True)
    forced = f'restrict,command="{command}" ' if command else ""
    (folder / "authorized").write_text(forced + (folder / "user.pub").read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(_CONFIGURATION.format(port=port, folder=folder))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # Where it shuts itself in.
    arguments = ("-D", "-q", "-f", str(folder / "sshd_config"))
    with subprocess.Popen([program, *arguments]) as server:
        try:
            eventually(lambda: _listens(port), "sshd listens")
            known = f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}"
            url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
            yield SshServer(url, known, (folder / "user").read_text().rstrip("\n"))
        finally:
            server.terminate()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
