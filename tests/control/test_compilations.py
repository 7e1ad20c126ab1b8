import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from modeld.control.compilations import Compilations
from modeld.domain import Artifact, InputColumn, ModelVersion
from modeld.errors import CompileFailed, HostDied, ModeldError

V1 = Artifact(ModelVersion("default", "v1"), "pickle", __file__, "sha256:11", 3, pinned=False)
V2 = Artifact(ModelVersion("default", "v2"), "pickle", __file__, "sha256:22", 3, pinned=False)


class Hosts:
    """A nursery whose hosts write ten bytes, or fail as the test says."""

    def __init__(self) -> None:
        self.error: ModeldError | None = None
        self.started = self.ended = 0
        self.go_on: Callable[[], Any] = lambda: asyncio.sleep(0)

    def start_host(self, _artifact: Artifact) -> "Hosts":
        self.started += 1
        return self

    async def compile(self, _artifact: Artifact, target: str, *, seconds: float) -> None:
        assert seconds > 0
        await self.go_on()
        if self.error is not None:
            raise self.error
        Path(target).write_bytes(b"0123456789")

    def kill(self) -> None:
        self.ended += 1


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def compilations(hosts: Hosts, folder: Path, most_bytes: int = 1000) -> Compilations:
    return Compilations(cast("Any", hosts), folder, most_bytes=most_bytes)


async def test_a_version_is_compiled_once(hosts: Hosts, tmp_path: Path) -> None:
    ours = compilations(hosts, tmp_path)
    assert ours.find(V1) is None

    paths = await asyncio.gather(ours.compile(V1), ours.compile(V1))
    again = await compilations(hosts, tmp_path).compile(V1)

    assert {*paths, again, ours.find(V1)} == {paths[0]}
    assert (hosts.started, hosts.ended) == (1, 1)


async def test_one_version_is_compiled_at_a_time(hosts: Hosts, tmp_path: Path) -> None:
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    hosts.go_on = work
    ours = compilations(hosts, tmp_path)

    await asyncio.gather(ours.compile(V1), ours.compile(V2))

    assert most == 1
    assert hosts.started == 2


async def test_who_gives_up_does_not_end_it(hosts: Hosts, tmp_path: Path) -> None:
    gate = asyncio.Event()
    hosts.go_on = gate.wait
    ours = compilations(hosts, tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ours.compile(V1)

    gate.set()

    assert (await ours.compile(V1)).exists()
    assert hosts.started == 1


async def test_what_was_dropped_before_its_turn_is_not_opened(hosts: Hosts, tmp_path: Path) -> None:
    dropped = replace(V1, path=str(tmp_path / "gone.pkl"))

    with pytest.raises(CompileFailed, match="dropped before its turn"):
        await compilations(hosts, tmp_path).compile(dropped)

    assert hosts.started == 0


async def test_a_reason_is_kept(hosts: Hosts, tmp_path: Path) -> None:
    hosts.error = CompileFailed("no converter for Odd")
    for _ in range(2):
        ours = compilations(hosts, tmp_path)
        with pytest.raises(CompileFailed, match="no converter for Odd"):
            await ours.compile(V1)
        assert ours.reason_against(V1) == "no converter for Odd"

    assert hosts.started == 1
    assert compilations(hosts, tmp_path).reason_against(V2) == ""


async def test_a_death_is_no_reason(hosts: Hosts, tmp_path: Path) -> None:
    ours = compilations(hosts, tmp_path)
    hosts.error = HostDied("its process was ended by SIGKILL at work")
    with pytest.raises(CompileFailed, match="SIGKILL"):
        await ours.compile(V1)
    hosts.error = None

    assert (await ours.compile(V1)).exists()
    assert hosts.ended == 2


async def test_what_the_manifest_says_makes_another_compilation(
    hosts: Hosts, tmp_path: Path
) -> None:
    from dataclasses import replace

    ours = compilations(hosts, tmp_path)
    await ours.compile(V1)

    assert ours.find(replace(V1, columns=(InputColumn("a"),))) is None
    assert ours.find(replace(V1, path="elsewhere", samples="samples.json")) is not None


async def test_the_oldest_make_room(hosts: Hosts, tmp_path: Path) -> None:
    ours = compilations(hosts, tmp_path, most_bytes=15)
    first = await ours.compile(V1)
    os.utime(first, (1, 1))

    second = await ours.compile(V2)

    assert not first.exists()
    assert second.exists()


async def test_the_newest_stays_however_large_it_is(hosts: Hosts, tmp_path: Path) -> None:
    assert (await compilations(hosts, tmp_path, most_bytes=5).compile(V1)).exists()


async def test_a_file_of_no_use_is_forgotten(hosts: Hosts, tmp_path: Path) -> None:
    ours = compilations(hosts, tmp_path)
    await ours.compile(V1)

    ours.forget(V1)
    ours.forget(V1)

    assert ours.find(V1) is None
