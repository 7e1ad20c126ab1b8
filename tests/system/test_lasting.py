"""Switch a thousand times between two large models, and look for what is left behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.server import Server, cared_for, eventually, make_server
from tests.support.versions import write_pickle

pytestmark = [pytest.mark.serial, pytest.mark.light]

LARGE = 20 << 20
ROW = {"features": [1.0, 2.0]}
WARM_UP, SWITCHES = 100, 1000

# A process's main thread, the one that watches files, and asyncio's pool, which grows to its
# size when calls happen to meet and stays there.
THREADS = 2 + min(32, (os.cpu_count() or 1) + 4)


def large_model(weight: float) -> object:
    """A linear regression that drags 20 MB along."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, weight, 1.0])
    model.ballast_ = np.random.default_rng(0).random(LARGE // 8)
    return model


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Server]:
    with cared_for(make_server(tmp_path / "repository", versions=())) as server:
        write_pickle(server.models / "v1", large_model(2.0))
        write_pickle(server.models / "v2", large_model(3.0))
        server.defaults["MODELD_WORKERS"] = "1"
        server.start()
        server.wait_until_live("v1")
        yield server


def held(server: Server) -> dict[int, tuple[int, int, int]]:
    """Of each process: its memory in MiB without what it shares, its descriptors, its threads."""
    found = {}
    for pid in server.family():
        folder = Path(f"/proc/{pid}")
        rollup = (folder / "smaps_rollup").read_text().splitlines()
        private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
        descriptors = len(list((folder / "fd").iterdir()))
        threads = len(list((folder / "task").iterdir()))
        found[pid] = (private >> 10, descriptors, threads)
    return found


def switch(server: Server, times: int) -> None:
    for number in range(times):
        version = "v2" if number % 2 == 0 else "v1"
        answer = server.admin("set-active-version", {"version": version})
        assert answer.status == 200, answer.json
        expected = {"v1": 4.0, "v2": 5.0}[version]
        assert server.predict(ROW).json["prediction"] == pytest.approx(expected)


def test_a_thousand_switches_leave_nothing_behind(repository: Server) -> None:
    switch(repository, WARM_UP)
    before = held(repository)

    switch(repository, SWITCHES)

    eventually(lambda: held(repository).keys() == before.keys(), "the processes of before")
    after = held(repository)
    for pid, (memory, descriptors, threads) in before.items():
        assert after[pid][0] - memory < 8, (before, after)
        assert after[pid][1] - descriptors <= 2, (before, after)
        assert after[pid][2] <= max(threads, THREADS), (before, after)
    assert len(list((repository.runtime / "staged").iterdir())) == 2
