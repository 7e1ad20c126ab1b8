"""Run a real Caddy, with certificates of its own making."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.nginx import accepts
from tests.support.server import eventually

_OPTIONS = """
{{
    admin off
    local_certs
    skip_install_trust
    default_bind 127.0.0.1
    http_port {plain_port}
    https_port {port}
    storage file_system {folder}/storage
}}
"""


@contextmanager
def caddy(folder: Path, sites: str, port: int, plain_port: int) -> Iterator[None]:
    """Run Caddy with some sites, until it listens on a port."""
    if shutil.which("caddy") is None:
        pytest.skip("caddy is not installed")
    folder.mkdir(parents=True)
    options = _OPTIONS.format(folder=folder, port=port, plain_port=plain_port)
    (folder / "Caddyfile").write_text(options + sites)
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
            env={**os.environ, "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: process.poll() is not None or accepts(port), "Caddy to listen")
        assert process.poll() is None, (folder / "caddy.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)
