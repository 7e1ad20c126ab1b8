"""What a switch may unload, and when."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from modeld.control.switch import Switch
from modeld.domain import ModelVersion

VERSION = ModelVersion("default", "v1")


class Publisher:
    """Has one version, which nobody has asked for since the machine started."""

    def __init__(self) -> None:
        spec = SimpleNamespace(digest="sha256:1", slot=0)
        release = SimpleNamespace(version=VERSION, spec=spec, predictions_seen=0, last_used=0.0)
        self.loaded: dict[ModelVersion, Any] = {VERSION: release}
        self.live: dict[str, Any] = {}
        self.turn = asyncio.Lock()

    async def bring_back(self, _release: Any) -> None:
        pass

    async def publish(self, live: dict[str, Any], loaded: dict[ModelVersion, Any]) -> None:
        self.live, self.loaded = live, loaded


class Loader:
    """Finds the files as they were."""

    async def digest(self, _version: ModelVersion, _named: tuple[str, ...]) -> str:
        return "sha256:1"


@pytest.mark.parametrize("is_about_to_serve", [False, True])
async def test_an_idle_version_is_unloaded_unless_a_switch_is_about_to_serve_it(
    is_about_to_serve: bool,
) -> None:
    publisher = Publisher()
    fakes: tuple[Any, Any, Any] = Loader(), publisher, SimpleNamespace(ledger=None)
    switch = Switch(*fakes, keep_warm=1.0, max_loaded=1, compile_timeout=1.0)
    if is_about_to_serve:
        await switch.gathering.load(VERSION, None)

    await switch.collect(lambda _slot: 0)

    assert (VERSION in publisher.loaded) is is_about_to_serve
