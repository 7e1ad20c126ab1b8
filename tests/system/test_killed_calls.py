"""A call whose process is killed in between is done or undone, and never half."""

import http.client
from pathlib import Path

import pytest

from tests.support.deploys import Upstream
from tests.support.dies_at import STEPS
from tests.support.server import ROOT, Server, eventually

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
BEFORE_THE_HOLD = ("before the hold",)


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_that_is_killed_is_done_or_undone(
    repository: Server, tmp_path: Path, step: str
) -> None:
    server = repository
    upstream = Upstream(server, tmp_path)
    upstream.commit("active: v2\n")
    armed = tmp_path / "armed"
    settings = {
        "MODELD_GIT_COMMIT": "push",
        "DIES_WHEN": str(armed),
        # A worker whose control process is gone drains for as long as the call is unanswered.
        "MODELD_DRAIN_TIMEOUT": "1s",
        "PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT}",
    }
    server.module = ("tests.support.dies_at", step)
    server.start(**settings)
    server.wait_until_live("v1")
    upstream.deploy()
    server.wait_until_live("v2")
    # What is written after a switch belongs to it: the step to die at is one of the rollback.
    eventually(lambda: server.log.read_text().count("state.applied") == 2, "v2 written down")

    armed.touch()
    with pytest.raises((http.client.HTTPException, OSError)):
        server.admin("rollback", {"reason": "p99 4x", "actor": "on-call"})
    armed.unlink()
    server.wait_for_end()
    server.module = ("modeld",)
    server.start(MODELD_GIT_COMMIT="push")

    if step in BEFORE_THE_HOLD:
        server.wait_until_live("v2")
        assert server.status()["holds"] == []
    else:
        # The hold names what was wanted: that serves, whatever the file says by now.
        server.wait_until_live("v1")
        assert [hold["version"] for hold in server.status()["holds"]] == ["v2"]
        eventually(lambda: server.predict(ROW).json["model_version"] == "v1", "v1 answers")
    assert server.state.read_text() in ("active: v1\n", "active: v2\n")
    assert not list(server.state.parent.glob(".active.yaml.*.tmp"))
    assert server.command("audit", "verify").returncode == 0
