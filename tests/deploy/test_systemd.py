"""The units, as systemd's own tool sees them, and what a service tells it."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, eventually

pytestmark = pytest.mark.light

UNITS = ROOT / "deploy" / "systemd"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a manager that is told about its service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


def told(manager: socket.socket, pattern: str) -> str:
    """Receive until something matches."""

    def look() -> str:
        text = manager.recv(4096).decode()
        return text if re.search(pattern, text) else ""

    return eventually(look, pattern)


def test_a_service_says_that_it_is_ready_how_it_is_and_that_it_stops(
    repository: Server, manager: socket.socket
) -> None:
    repository.start(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="400000")

    assert told(manager, "READY") == "READY=1"
    assert told(manager, "Serving v1").endswith("WATCHDOG=1")
    repository.write_state("active: v2\n")
    told(manager, "Serving v2")
    assert repository.stop() == 0
    told(manager, "STOPPING=1")


def test_a_server_whose_version_does_not_load_is_ready_all_the_same(
    repository: Server, manager: socket.socket
) -> None:
    """Killed for taking too long it would not get any further."""
    repository.write_state("active: v9\n")
    repository.start(NOTIFY_SOCKET=manager.getsockname())

    told(manager, "READY=1")
    told(manager, "v9")


def test_nobody_who_listens_is_no_reason_to_fail(repository: Server, tmp_path: Path) -> None:
    repository.start(NOTIFY_SOCKET=str(tmp_path / "nobody")).wait_until_live("v1")


def test_the_units_are_understood_by_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/modeld/bin/modeld serve", sys.executable)
        (tmp_path / unit.name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    complaints = [line for line in done.stderr.splitlines() if "modeld" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_the_service_has_what_it_needs_to_drain_and_to_write() -> None:
    text = (UNITS / "modeld.service").read_text()

    assert "Type=notify\n" in text
    assert "TimeoutStopSec=60\n" in text
    assert "StateDirectory=modeld\n" in text
    assert "MODELD_RUNTIME_DIR=/var/lib/modeld\n" in text
    assert "NoNewPrivileges=true\n" in text
