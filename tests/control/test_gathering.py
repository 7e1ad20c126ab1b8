import time
from types import SimpleNamespace
from typing import Any

import pytest

from modeld.control.gathering import Gathering
from modeld.domain import ModelVersion

VERSION = ModelVersion("default", "v1")
RELEASE = SimpleNamespace(version=VERSION, spec=SimpleNamespace(digest="sha256:1"))


class Publisher:
    """Has one warm version."""

    def __init__(self) -> None:
        self.loaded = {VERSION: RELEASE}

    async def bring_back(self, _release: Any) -> None:
        pass


class Loader:
    """Finds the files as they were."""

    async def digest(self, _version: ModelVersion, _named: tuple[str, ...]) -> str:
        return "sha256:1"


@pytest.fixture
def gathering() -> Gathering:
    fakes: tuple[Any, Any, Any] = Loader(), Publisher(), None
    return Gathering(*fakes, patience=1.0)


async def test_a_warm_version_that_was_given_is_kept_until_it_is_published(
    gathering: Gathering,
) -> None:
    """Else it could be unloaded between the two, and a dead version be published."""
    assert not gathering.asked()

    assert await gathering.load(VERSION, None) is RELEASE  # type: ignore[comparison-overlap]
    assert gathering.asked() == {VERSION}
    gathering.forget_published([ModelVersion("default", "v2")])
    assert gathering.asked() == {VERSION}
    gathering.forget_published([VERSION])

    assert not gathering.asked()


async def test_a_warm_version_that_nobody_published_is_kept_for_a_minute(
    gathering: Gathering,
) -> None:
    await gathering.load(VERSION, None)
    now = time.monotonic()

    gathering.forget_stale(now + 50, ())
    assert gathering.asked() == {VERSION}
    gathering.forget_stale(now + 61, ())

    assert not gathering.asked()
